//! Values set lazily: seen at once, written with the next commit or within [`LAZY_WITHIN`], one per name.
//!
//! Owns them from the call until the batch that holds them is visible in the index, so that nobody sees an older value in
//! between. What is here can be lost in a crash; it is never torn, because it is written as every other append is.

use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::Duration;

/// After how long a value that was set lazily is written at the latest.
pub(crate) const LAZY_WITHIN: Duration = Duration::from_millis(36);

/// How much one frame of lazily set values may hold.
const FRAME_BYTES: usize = 32 << 10;

#[derive(Debug, Default)]
pub(crate) struct Lazies {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    values: BTreeMap<Box<str>, Lazy>,
    /// Values that others of their names have replaced, and that an append in the queue follows all the same.
    replaced: Vec<(Box<str>, Lazy)>,
    /// How many values had been set when an append last had to queue.
    followed: u64,
    /// How many of all these are not in a batch, and how many bytes they have.
    dirty: usize,
    dirty_bytes: usize,
    /// How many values were set so far.
    sets: u64,
    /// Nothing would write them any more.
    ended: bool,
}

#[derive(Debug)]
struct Lazy {
    value: Bytes,
    /// Which set it was.
    set: u64,
    /// The batch that it is in; `None` while it waits for one.
    batch: Option<u64>,
}

impl Lazies {
    /// Sets a value. Says whether it is the first one that waits; refuses it if too many bytes do, or if the
    /// log takes no more.
    pub(crate) fn set(&self, name: &str, value: &[u8], bytes_max: usize) -> Result<bool, ()> {
        let mut state = self.state.lock();
        let size = name.len() + value.len();
        let followed = state.followed;
        let old = match state.values.get(name) {
            Some(Lazy { value, batch: None, set }) => Some((name.len() + value.len(), *set < followed)),
            _ => None,
        };
        let gone = match old {
            Some((size, false)) => size,
            _ => 0,
        };
        let bytes = state.dirty_bytes - gone + size;
        if state.ended || bytes > bytes_max {
            return Err(());
        }
        let first = state.dirty == 0;
        state.dirty += usize::from(gone == 0);
        state.dirty_bytes = bytes;
        let set = state.sets;
        state.sets += 1;
        let lazy = Lazy { value: Bytes::copy_from_slice(value), set, batch: None };
        let before = state.values.insert(name.into(), lazy);
        if let (Some(before), Some((_, true))) = (before, old) {
            state.replaced.push((name.into(), before));
        }
        Ok(first)
    }

    /// How many values were set so far: a write that has to queue now follows these.
    pub(crate) fn followed(&self) -> u64 {
        let mut state = self.state.lock();
        state.followed = state.sets;
        state.sets
    }

    /// Refuses everything from now on.
    pub(crate) fn end(&self) {
        self.state.lock().ended = true;
    }

    #[cfg(test)]
    fn is_dirty(&self) -> bool {
        self.state.lock().dirty > 0
    }

    /// Hands the first so many that were set to `write`, a frame's worth at a time, which says the batch that they are in.
    /// Whether none waits any more.
    pub(crate) fn hand_over<E>(
        &self,
        sets: u64,
        mut write: impl FnMut(&[(&str, &Bytes)]) -> Result<u64, E>,
    ) -> Result<bool, E> {
        let mut state = self.state.lock();
        while state.dirty > 0 {
            let mut bytes = 0;
            let waits = |(_, lazy): &(_, &Lazy)| lazy.batch.is_none() && lazy.set < sets;
            // Those first that were first: where a name comes twice, the last one counts.
            let replaced = state.replaced.iter().map(|(name, lazy)| (name, lazy)).filter(waits);
            let waiting = replaced.chain(state.values.iter().filter(waits));
            let fits = |(name, value): &(&str, &Bytes)| {
                let before = bytes;
                bytes += name.len() + value.len();
                before == 0 || bytes <= FRAME_BYTES
            };
            let frame: Vec<(&str, &Bytes)> =
                waiting.map(|(name, lazy)| (&**name, &lazy.value)).take_while(fits).collect();
            if frame.is_empty() {
                break;
            }
            let batch = write(&frame)?;
            let written: usize = frame.iter().map(|(name, value)| name.len() + value.len()).sum();
            let names: Vec<Box<str>> = frame.into_iter().map(|(name, _)| name.into()).collect();
            (state.dirty, state.dirty_bytes) = (state.dirty - names.len(), state.dirty_bytes - written);
            let replaced: Vec<_> =
                state.replaced.extract_if(.., |(_, lazy)| lazy.set < sets).take(names.len()).collect();
            for name in &names[replaced.len()..] {
                if let Some(lazy) = state.values.get_mut(name) {
                    lazy.batch = Some(batch);
                }
            }
        }
        Ok(state.dirty == 0)
    }

    /// Shows the values to `look` while none of them can move into the index.
    pub(crate) fn with<T>(&self, look: impl FnOnce(&Overlay<'_>) -> T) -> T {
        look(&Overlay(&self.state.lock().values))
    }

    /// Forgets what the index shows.
    pub(crate) fn settle(&self, batch: u64) {
        let mut state = self.state.lock();
        if state.values.len() + state.replaced.len() > state.dirty {
            state.values.retain(|_, lazy| lazy.batch.is_none_or(|of| of > batch));
        }
    }
}

/// The values that the index does not show yet.
pub(crate) struct Overlay<'a>(&'a BTreeMap<Box<str>, Lazy>);

impl Overlay<'_> {
    pub(crate) fn get(&self, name: &str) -> Option<&Bytes> {
        self.0.get(name).map(|lazy| &lazy.value)
    }

    /// Names that start with `prefix` and are greater than `after`, in byte order.
    pub(crate) fn page<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
    ) -> impl Iterator<Item = (&'a str, &'a Bytes)> {
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        self.0
            .range::<str, _>((from, Bound::Unbounded))
            .take_while(move |(name, _)| name.starts_with(prefix))
            .map(|(name, lazy)| (&**name, &lazy.value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_of_a_name_waits_and_the_others_are_gone() {
        let lazies = Lazies::default();
        assert_eq!(lazies.set("a", b"1", 8), Ok(true));
        assert_eq!(lazies.set("a", b"22", 8), Ok(false));
        assert_eq!(lazies.set("b", b"3", 8), Ok(false));
        assert_eq!(lazies.set("b", b"33333", 8), Err(()), "too many bytes wait");
        let seen = lazies.with(|overlay| {
            overlay.page("", None).map(|(name, value)| (name.to_owned(), value.clone())).collect::<Vec<_>>()
        });
        assert_eq!(seen, [("a".to_owned(), Bytes::from("22")), ("b".to_owned(), Bytes::from("3"))]);
        lazies.settle(u64::MAX);
        assert!(lazies.is_dirty(), "what is in no batch stays");
        // The second and the third set wait; only the second is asked for.
        let written = lazies.hand_over(2, |frame| {
            assert_eq!(frame, [("a", &Bytes::from("22"))]);
            Ok::<u64, ()>(5)
        });
        assert_eq!((written, lazies.set("b", b"33333", 8)), (Ok(false), Ok(false)), "room again");
        lazies.settle(4);
        assert!(lazies.with(|overlay| overlay.get("a").is_some()), "not visible yet");
        lazies.settle(5);
        assert!(lazies.with(|overlay| overlay.get("a").is_none()));
        assert_eq!(lazies.hand_over(u64::MAX, |_| Ok::<u64, ()>(6)), Ok(true));
        lazies.end();
        assert_eq!(lazies.set("a", b"", 8), Err(()));
    }

    #[test]
    fn a_value_that_an_append_in_the_queue_follows_is_written_though_it_was_replaced() {
        let lazies = Lazies::default();
        let hand_over = |sets| {
            let mut frames = Vec::new();
            let none_waits = lazies.hand_over(sets, |frame| {
                frames.extend(frame.iter().map(|(name, value)| format!("{name}{value:?}")));
                Ok::<u64, ()>(1)
            });
            (frames.join(" "), none_waits.unwrap())
        };
        let set = |name, value: &[u8]| lazies.set(name, value, 99).unwrap();
        set("a", b"1");
        set("a", b"2");
        let follows = lazies.followed();
        set("b", b"3");
        set("a", b"4");
        set("a", b"5");
        assert_eq!(lazies.with(|overlay| overlay.get("a").cloned()), Some(Bytes::from("5")));
        assert_eq!(hand_over(follows), ("ab\"2\"".to_owned(), false));
        lazies.settle(1);
        assert_eq!(hand_over(u64::MAX), ("ab\"5\" bb\"3\"".to_owned(), true));
        lazies.settle(1);
        assert!(!lazies.is_dirty() && lazies.with(|overlay| overlay.get("a").is_none()));
        // If nobody asks for it in between, both are written, the last one last.
        set("a", b"6");
        lazies.followed();
        set("a", b"7");
        assert_eq!(hand_over(u64::MAX), ("ab\"6\" ab\"7\"".to_owned(), true));
        assert_eq!(lazies.set("a", &[0; 98], 99), Ok(true), "all bytes are counted out again");
    }
}
