//! What this process uses: memory of its own.
//!
//! Owns the reading of `/proc/self`. Gives `None` where there is no such thing.

use std::fs;

/// Bytes of anonymous memory: what the program itself holds, without mapped files.
pub fn anonymous_bytes() -> Option<u64> {
    number(&fs::read_to_string("/proc/self/status").ok()?, "RssAnon:").map(|kibibytes| kibibytes * 1024)
}

fn number(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    #[test]
    fn numbers_are_found_in_their_lines() {
        let text = "VmRSS:\t  12 kB\nRssAnon:\t    2048 kB\n";
        assert_eq!(super::number(text, "RssAnon:"), Some(2048));
        assert_eq!(super::number(text, "VmRSS:"), Some(12));
        assert_eq!(super::number(text, "none:"), None);
    }
}
