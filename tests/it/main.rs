//! The integration tests: one binary, one module an idea.

mod simdisk;
mod smoke;
