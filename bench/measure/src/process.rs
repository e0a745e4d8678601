//! What this process uses: memory of its own, bytes that it had written to the device.
//!
//! Owns the reading of `/proc/self`. Gives `None` where there is no such thing.

use std::fs;

/// Bytes of anonymous memory: what the program itself holds, without mapped files.
pub fn anonymous_bytes() -> Option<u64> {
    number(&fs::read_to_string("/proc/self/status").ok()?, "RssAnon:").map(|kibibytes| kibibytes * 1024)
}

/// Bytes that this process had sent to the device so far.
pub fn written_bytes() -> Option<u64> {
    number(&fs::read_to_string("/proc/self/io").ok()?, "write_bytes:")
}

fn number(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    #[test]
    fn numbers_are_found_in_their_lines() {
        let text = "VmRSS:\t  12 kB\nRssAnon:\t    2048 kB\nwrite_bytes: 7\ncancelled_write_bytes: 9\n";
        assert_eq!(super::number(text, "RssAnon:"), Some(2048));
        assert_eq!(super::number(text, "write_bytes:"), Some(7));
        assert_eq!(super::number(text, "none:"), None);
    }
}
