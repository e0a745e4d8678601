//! The integration tests: one binary, one module an idea.

mod calls;
mod crash;
mod damage;
mod kill;
mod model;
mod simdisk;
mod smoke;
