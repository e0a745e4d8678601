//! The integration tests: one binary, one module an idea. What both versions of mako-engine promise alike stands once, in `both`,
//! and is compiled against each; what its stores in memory promise as well runs against those, too.
//!
//! Helpers outside of test functions unwrap, too: a test that cannot go on should say so at once.

#![allow(clippy::cloned_ref_to_slice_refs, reason = "a list of one reads well in a test")]
#![allow(clippy::unwrap_used, clippy::print_stdout, unreachable_pub)]
#![allow(
    clippy::duplicate_mod,
    reason = "the texts in `both` are compiled against each version of mako-engine"
)]

/// Rules that are proved on the log, in a directory, and of a store in memory that the crate itself brings along.
macro_rules! agree {
    ($memory:expr; $($rule:ident),+ $(,)?) => {
        mod on_the_log {
            $(#[tokio::test]
            async fn $rule() {
                super::$rule(&*crate::shelf::fresh()).await;
            })+
        }
        mod in_memory {
            use super::*;
            $(#[tokio::test]
            async fn $rule() {
                super::$rule(&$memory).await;
            })+
        }
    };
}

mod costs;
mod failing;
mod kill;
mod model;
mod one_log;
mod races;
mod reopen;
mod shelf;
mod turns;
mod v0_22;
mod v0_23;
mod versions;
