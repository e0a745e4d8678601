//! The integration tests: one binary, one module an idea.

mod crash;
mod model;
mod simdisk;
mod smoke;
