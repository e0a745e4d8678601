//! What the adapters of Annals have in common: how the names of somebody else's framework stand in a log that others use too,
//! and how its values stand there as JSON.
//!
//! Owns the mapping of names, in both directions, and nothing that knows a log or a framework.

pub mod json;

use std::borrow::Cow;

/// A branch of a log's names: of its streams, its kept values, its tenants or its claims. All names in it begin with the same
/// text, and no name outside of it does, so that adapters, and several of one kind, live in one log without meeting.
///
/// A name is made of parts, each followed by `/`, and a last one. In all parts but the last, `%` and `/` are written `%25` and
/// `%2F`: character by character, so that a part begins with another if and only if it does so when written. The last one
/// stands as it is: names of a branch sort as the foreign ones do, and share their prefixes.
///
/// ```
/// use annals_adapter::Names;
///
/// let streams = Names::new("shop").under("stream");
/// assert_eq!(streams.name("order/1"), "shop/stream/order/1");
/// assert_eq!(streams.foreign("shop/stream/order/1"), Some("order/1"));
///
/// let of_order = Names::new("shop").under("by order").under("order/1");
/// assert_eq!(of_order.name("x"), "shop/by order/order%2F1/x");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Names {
    prefix: Box<str>,
}

impl Names {
    /// The branch with this first part.
    pub fn new(root: &str) -> Names {
        Names { prefix: Box::default() }.under(root)
    }

    /// The branch of this one with one more part.
    #[must_use]
    pub fn under(&self, part: &str) -> Names {
        Names { prefix: format!("{}{}/", self.prefix, escape(part)).into() }
    }

    /// What all names of the branch begin with.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The name of something in this branch; with a prefix of foreign names, the prefix of theirs.
    pub fn name(&self, last: &str) -> String {
        format!("{}{last}", self.prefix)
    }

    /// What somebody else calls what has this name; `None` if it is not in the branch.
    pub fn foreign<'a>(&self, name: &'a str) -> Option<&'a str> {
        name.strip_prefix(&*self.prefix)
    }

    /// The next part of a name in this branch, and what stands behind it; `None` if there is no such part.
    pub fn part<'a>(&self, name: &'a str) -> Option<(Cow<'a, str>, &'a str)> {
        let (part, rest) = self.foreign(name)?.split_once('/')?;
        Some((unescape(part)?, rest))
    }
}

/// A part as it is written.
fn escape(part: &str) -> Cow<'_, str> {
    if !part.contains(['%', '/']) {
        return Cow::Borrowed(part);
    }
    Cow::Owned(part.replace('%', "%25").replace('/', "%2F"))
}

/// What is written in this way; `None` if nothing is.
fn unescape(written: &str) -> Option<Cow<'_, str>> {
    let Some((first, mut rest)) = written.split_once('%') else { return Some(Cow::Borrowed(written)) };
    let mut part = first.to_owned();
    loop {
        let (character, behind) = match (rest.strip_prefix("25"), rest.strip_prefix("2F")) {
            (Some(behind), _) => ('%', behind),
            (_, Some(behind)) => ('/', behind),
            _ => return None,
        };
        part.push(character);
        match behind.split_once('%') {
            Some((plain, next)) => {
                part.push_str(plain);
                rest = next;
            }
            None => {
                part.push_str(behind);
                return Some(Cow::Owned(part));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Strings over the characters that could be mistaken for something.
        #[test]
        fn parts_come_back_and_keep_their_prefixes(a in "[%/25Fä\u{0}]{0,8}", b in "[%/25Fä\u{0}]{0,8}", last in "[%/2a]{0,4}") {
            let written = escape(&a);
            prop_assert_eq!(unescape(&written), Some(Cow::Borrowed(&*a)));
            prop_assert_eq!(escape(&b).starts_with(&*escape(&a)), b.starts_with(&*a));
            prop_assert!(!escape(&a).contains('/'));
            let (of_a, of_b) = (Names::new("x").under(&a), Names::new("x").under(&b));
            prop_assert_eq!(of_b.name(&last).starts_with(of_a.prefix()), a == b, "branches do not meet");
            let name = of_a.name(&last);
            prop_assert_eq!(of_a.foreign(&name), Some(&*last));
            prop_assert_eq!(Names::new("x").part(&name), Some((Cow::Borrowed(&*a), &*last)));
        }
    }

    #[test]
    fn what_nobody_writes_is_not_read() {
        assert_eq!(
            (unescape("%"), unescape("a%2"), unescape("%2f"), unescape("%41")),
            (None, None, None, None)
        );
        assert_eq!((Names::new("x").foreign("y/a"), Names::new("x").part("x/a")), (None, None));
        assert_eq!(Names::new("x/y").foreign("x/y/a"), None);
    }
}
