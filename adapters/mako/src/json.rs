//! JSON as it stands in the log.
//!
//! Owns the promise that what is written can be read again: `serde_json` writes values of any depth, and reads them down to
//! a limit only.

use serde::Serialize;
use std::io::{self, Write};

/// How deep arrays and objects may stand in one another to be read again.
const DEPTH_MAX: u32 = 127;

/// The JSON of a value, if it can be read again.
pub(crate) fn encode(value: &impl Serialize) -> Result<Vec<u8>, serde_json::Error> {
    let mut text = Bounded::default();
    serde_json::to_writer(&mut text, value)?;
    Ok(text.bytes)
}

/// Takes JSON as long as it is not too deep.
#[derive(Default)]
struct Bounded {
    bytes: Vec<u8>,
    depth: u32,
    in_string: bool,
    escaped: bool,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for byte in bytes {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_string = !self.in_string,
                b'[' | b'{' if !self.in_string => self.depth += 1,
                b']' | b'}' if !self.in_string => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
            if self.depth > DEPTH_MAX {
                return Err(io::Error::other(format!("it is nested deeper than {DEPTH_MAX} levels")));
            }
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn nested(depth: u32) -> Value {
        (0..depth).fold(json!("]}[{\"\\"), |inner, level| {
            if level % 2 == 0 { json!([inner]) } else { json!({"\\\"[": inner}) }
        })
    }

    #[test]
    fn what_is_written_can_be_read() {
        for depth in [0, 1, DEPTH_MAX] {
            let text = encode(&nested(depth)).unwrap();
            assert_eq!(serde_json::from_slice::<Value>(&text).unwrap(), nested(depth));
        }
    }

    #[test]
    fn what_could_not_be_read_is_not_written() {
        let deeper = nested(DEPTH_MAX + 1);
        let error = encode(&deeper).unwrap_err().to_string();
        assert!(error.contains("nested deeper than 127 levels"), "{error}");
        let text = serde_json::to_vec(&deeper).unwrap();
        assert!(serde_json::from_slice::<Value>(&text).is_err(), "the limit is narrower than it must be");
    }

    #[test]
    fn numbers_come_back_to_the_last_digit() {
        let mut bits = 0x3FF0_0000_0000_0001u64;
        for _ in 0..20_000 {
            // A simple generator: any spread of bits does.
            bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let number = f64::from_bits(bits);
            if number.is_finite() {
                let text = encode(&json!(number)).unwrap();
                assert_eq!(serde_json::from_slice::<f64>(&text).unwrap().to_bits(), bits);
            }
        }
        let extremes = json!([u64::MAX, i64::MIN, -0.0, f64::MAX, f64::MIN_POSITIVE, 5e-324]);
        assert_eq!(serde_json::from_slice::<Value>(&encode(&extremes).unwrap()).unwrap(), extremes);
    }
}
