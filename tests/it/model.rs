//! The reference model: what a log should be, in the plainest possible code, and the operations that drive both.
//!
//! One `Op` enum and one model serve the property tests, the crash simulation and the fuzzer. An `Op` is drawn from any source
//! of numbers, so that each of them can bring its own.

mod compare;
mod driver;
mod look;
mod ops;
mod state;
mod write;

pub use driver::Driver;
pub use ops::{Cond, Expect, Ids, Op, Piece, Twist, Way};
pub use state::Model;
#[allow(unused_imports)] // the fuzz targets name it
pub use state::ModelEvent;
pub use write::{Answer, Told, Write, set_lazily};

/// Stream names that invite confusion: prefixes of one another, separators, a NUL, more than one byte a letter.
pub const STREAMS: [&str; 8] = ["k", "k/0000000000000001", "k/", "a", "ä/ö", "nul\0", "order-42", "z"];

/// Names of kept values: the same, and some are those of streams.
pub const NAMES: [&str; 6] = ["k", "k/1", "k/", "ä", "annal", "z\0"];

pub const TENANTS: [&str; 3] = ["shop", "shop/", "bank"];

pub const CONSUMERS: [&str; 3] = ["mail", "mail/", "m"];

pub const TYPES: [&str; 3] = ["Tested", "Placed", "Place"];

/// The kept value that holds a consumer's place (FORMAT.md section 6).
pub fn place_name(consumer: &str) -> String {
    format!("annals/consumer/{consumer}")
}
