//! JSON as it stands in the log.
//!
//! Owns the promise that what is written can be read again: `serde_json` writes values of any depth, and reads them down to
//! a limit only; and it writes any key, and reads an object with one of its own as something else, or not at all.

use serde::Serialize;
use serde::ser::Error as _;
use std::io::{self, Write};

/// How deep arrays and objects may stand in one another to be read again.
const DEPTH_MAX: u32 = 127;

/// How the keys begin, with their quote, by which `serde_json` tells values of its own from others, if it was built with the
/// features `raw_value` or `arbitrary_precision`: by any other crate of the program.
const PRIVATE_KEY: &[u8] = b"\"$serde_json::private::";

/// The JSON of a value, if it can be read again: not deeper than that, and without a key that `serde_json` keeps for itself,
/// whatever features it has here.
///
/// # Errors
/// What the value's own serialization returns, or why it could not be read again.
pub fn encode(value: &impl Serialize) -> Result<Vec<u8>, serde_json::Error> {
    let mut text = Bounded::default();
    serde_json::to_writer(&mut text, value)?;
    if text.dollar && has_private_key(&text.bytes) {
        return Err(serde_json::Error::custom("a key of it is one that serde_json keeps for itself"));
    }
    Ok(text.bytes)
}

fn has_private_key(json: &[u8]) -> bool {
    let starts = (1..json.len()).filter(|at| json[*at..].starts_with(PRIVATE_KEY));
    // Inside of a text, the quote would stand behind a backslash.
    let mut behind = starts.filter(|at| matches!(json[at - 1], b'{' | b',')).map(|at| &json[at + 1..]);
    behind.any(|text| {
        let mut escaped = false;
        let end = text.iter().position(|byte| {
            let ends = *byte == b'"' && !escaped;
            escaped = *byte == b'\\' && !escaped;
            ends
        });
        end.and_then(|end| text.get(end + 1)) == Some(&b':')
    })
}

/// Takes JSON as long as it is not too deep.
#[derive(Default)]
struct Bounded {
    bytes: Vec<u8>,
    depth: u32,
    in_string: bool,
    escaped: bool,
    /// There is one somewhere.
    dollar: bool,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for byte in bytes {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_string = !self.in_string,
                b'$' => self.dollar = true,
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
    fn what_serde_json_keeps_for_itself_is_not_written() {
        let key = "$serde_json::private::RawValue";
        for value in [
            json!({key: "1"}),
            json!({"name": "eve", key: "x"}),
            json!([{"a": [1, {key: null}]}]),
            json!({"$serde_json::private::\"Number\\": "1"}),
        ] {
            let error = encode(&value).unwrap_err().to_string();
            assert!(error.contains("keeps for itself"), "{value}: {error}");
        }
        let like_it = format!("{{\"{key}\":");
        for value in [
            json!({"$serde": 1, "a$serde_json::private::RawValue": 2, "$": {"$ref": 3}}),
            json!([key, key, {"a": key, "b": [key]}, like_it, ["x", key]]),
            json!({like_it: format!(",\"{key}\":")}),
        ] {
            assert_eq!(serde_json::from_slice::<Value>(&encode(&value).unwrap()).unwrap(), value);
        }
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
