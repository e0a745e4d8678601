//! Versions of streams that are asked for again and again, read without a lock.
//!
//! Owns a table of fixed size and its protocol. It is exact: a version that it tells is the one that the view shows at that
//! moment, of the stream with this very id. Must never be the only place that knows something: a stream that is not here is
//! asked for elsewhere, and may be put here then.
//!
//! Each slot is a sequence lock (the reader's side as in H.-J. Boehm, "Can seqlocks get along with programming language memory
//! models?", 2012): an odd sequence says that the slot is being written, and a reader that meets one, or another sequence after
//! than before, knows nothing. Readers may only put something here under the view's lock for reading, so that nothing changes
//! meanwhile. A batch first hides the slots of all its streams and then shows them again, all under the view's lock for writing:
//! whoever sees one new version sees no old one of the same batch after it. A slot that the hint of its set does not lead to is
//! found by nobody, and the hint leads there again only after the slot was written anew.

use crate::sync::Ordering::{Acquire, Relaxed, Release};
use crate::sync::{AtomicU64, OnceLock, fence};

const NAME_WORDS: usize = 12;
/// Longer ids are not kept here.
pub(crate) const NAME_BYTES: usize = NAME_WORDS * 8;
const SLOTS_PER_SET: usize = 2;
const SETS_PER_CHUNK: usize = 64;
/// With all their sets, they take 9 MiB.
const CHUNKS: usize = 512;

/// Two lines of the processor's cache, which come together.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Slot {
    sequence: AtomicU64,
    version: AtomicU64,
    hash: AtomicU64,
    len: AtomicU64,
    name: [AtomicU64; NAME_WORDS],
}

type Set = [Slot; SLOTS_PER_SET];

/// What can be told of a set without looking at it, in 64 bits: 16 of the hash of each slot's stream, and 32 of the hash that
/// was last looked for in vain. A hint: it may lead to a slot of another stream, or past the right one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Hint(u64);

impl Hint {
    #[inline]
    fn tag(hash: u64) -> u64 {
        // Zero is for a slot that is not in use.
        (hash >> 48).max(1)
    }

    #[inline]
    fn may_be(self, slot: usize, hash: u64) -> bool {
        self.0 >> (16 * slot) & 0xFFFF == Hint::tag(hash)
    }

    fn is_free(self, slot: usize) -> bool {
        self.0 >> (16 * slot) & 0xFFFF == 0
    }

    fn with(self, slot: usize, hash: u64) -> Hint {
        Hint(self.0 & !(0xFFFF << (16 * slot)) | Hint::tag(hash) << (16 * slot))
    }

    #[inline]
    fn was_asked(self, hash: u64) -> bool {
        self.0 >> 32 == hash & 0xFFFF_FFFF
    }

    fn asked(self, hash: u64) -> Hint {
        Hint(self.0 & 0xFFFF_FFFF | hash << 32)
    }
}

/// What is known here of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    Version(u64),
    /// Nothing; and whether it was asked for before, and is worth a place.
    Nothing {
        again: bool,
    },
}

/// A stream's id and hash, and the version that a batch leads it to.
pub(crate) type Move<'a> = (&'a str, u64, u64);

/// Which set of its chunk a stream belongs to.
#[inline]
fn set_of(hash: u64) -> usize {
    (hash >> 41) as usize % SETS_PER_CHUNK
}

/// Sets whose hints are made together, when one of them is first asked for; each set, when it has something to keep.
#[derive(Debug)]
struct Chunk {
    hints: [AtomicU64; SETS_PER_CHUNK],
    sets: [OnceLock<Box<Set>>; SETS_PER_CHUNK],
}

impl Chunk {
    fn new() -> Box<Chunk> {
        Box::new(Chunk {
            hints: std::array::from_fn(|_| AtomicU64::new(0)),
            sets: std::array::from_fn(|_| OnceLock::new()),
        })
    }

    #[inline]
    fn hint(&self, hash: u64) -> &AtomicU64 {
        &self.hints[set_of(hash)]
    }

    /// The slots that may speak of a stream: more than one if two readers have kept it at the same time, or if another one has
    /// the same tag.
    #[inline]
    fn slots(&self, hint: Hint, hash: u64) -> impl Iterator<Item = &Slot> {
        let slots = (0..SLOTS_PER_SET).filter(move |slot| hint.may_be(*slot, hash));
        slots.filter_map(move |slot| self.sets[set_of(hash)].get().map(|set| &set[slot]))
    }
}

#[derive(Debug)]
pub(crate) struct Versions {
    chunks: Box<[OnceLock<Box<Chunk>>]>,
}

impl Default for Versions {
    fn default() -> Versions {
        Versions { chunks: (0..CHUNKS).map(|_| OnceLock::new()).collect() }
    }
}

impl Versions {
    #[inline]
    fn chunk(&self, hash: u64) -> &OnceLock<Box<Chunk>> {
        &self.chunks[(hash >> 32) as usize % CHUNKS]
    }

    /// The version of a stream. Notes that it was asked for.
    #[inline]
    pub(crate) fn version(&self, id: &str, hash: u64) -> Known {
        let chunk = self.chunk(hash).get_or_init(Chunk::new);
        let hint = Hint(chunk.hint(hash).load(Relaxed));
        if let Some(version) = chunk.slots(hint, hash).find_map(|slot| slot.read(id, hash)) {
            return Known::Version(version);
        }
        if hint.was_asked(hash) {
            return Known::Nothing { again: id.len() <= NAME_BYTES };
        }
        // If somebody else notes something at the same time, that is as good.
        let _ = chunk.hint(hash).compare_exchange(hint.0, hint.asked(hash).0, Relaxed, Relaxed);
        Known::Nothing { again: false }
    }

    /// Keeps the version of a stream. The caller holds the view's lock for reading, and has it from there.
    pub(crate) fn keep(&self, id: &str, hash: u64, version: u64) {
        let chunk = self.chunk(hash).get_or_init(Chunk::new);
        let set = chunk.sets[set_of(hash)].get_or_init(Box::default);
        let hint = Hint(chunk.hint(hash).load(Relaxed));
        let same = (0..SLOTS_PER_SET).find(|slot| hint.may_be(*slot, hash));
        let free = (0..SLOTS_PER_SET).find(|slot| hint.is_free(*slot));
        let slot = same.or(free).unwrap_or((hash >> 16) as usize % SLOTS_PER_SET);
        // Others that keep something at the same time are in no one's way: one of them has it.
        if set[slot].write(id, hash, version) {
            let with = |hint| Some(Hint(hint).with(slot, hash).0);
            let _ = chunk.hint(hash).fetch_update(Relaxed, Relaxed, with);
        }
    }

    /// Makes readers ask elsewhere for these streams: their ids and hashes, and the versions that they are about to have. The
    /// caller holds the view's lock for writing.
    pub(crate) fn hide<'a>(&self, moves: impl Iterator<Item = Move<'a>>) {
        for (id, hash, _) in moves {
            self.slots_of(id, hash).for_each(Slot::begin);
        }
    }

    /// Shows the versions of these streams. The caller has hidden them, and holds the lock still.
    pub(crate) fn show<'a>(&self, moves: impl Iterator<Item = Move<'a>> + Clone) {
        // A stream may be among them more than once: the last one counts, and no other may be seen.
        for (id, hash, version) in moves.clone() {
            self.slots_of(id, hash).for_each(|slot| slot.version.store(version, Relaxed));
        }
        for (id, hash, _) in moves {
            self.slots_of(id, hash).for_each(Slot::end);
        }
    }

    /// All slots that speak of a stream, for the caller who keeps everybody from changing them.
    fn slots_of<'a>(&'a self, id: &'a str, hash: u64) -> impl Iterator<Item = &'a Slot> {
        let chunk = self.chunk(hash).get().into_iter();
        let slots = chunk.flat_map(move |chunk| chunk.slots(Hint(chunk.hint(hash).load(Relaxed)), hash));
        slots.filter(move |slot| slot.is_of(id, hash))
    }
}

impl Slot {
    #[inline]
    fn is_of(&self, id: &str, hash: u64) -> bool {
        if self.hash.load(Relaxed) != hash || self.len.load(Relaxed) != id.len() as u64 {
            return false;
        }
        words(id).zip(&self.name).all(|(word, kept)| kept.load(Relaxed) == word)
    }

    #[inline]
    fn read(&self, id: &str, hash: u64) -> Option<u64> {
        let sequence = self.sequence.load(Acquire);
        if sequence == 0 || sequence % 2 == 1 || !self.is_of(id, hash) {
            return None;
        }
        let version = self.version.load(Relaxed);
        fence(Acquire);
        (self.sequence.load(Relaxed) == sequence).then_some(version)
    }

    /// Whether it was written.
    fn write(&self, id: &str, hash: u64, version: u64) -> bool {
        let sequence = self.sequence.load(Relaxed);
        let taken = sequence % 2 == 1
            || self.sequence.compare_exchange(sequence, sequence + 1, Acquire, Relaxed).is_err();
        if taken {
            return false;
        }
        fence(Release);
        self.version.store(version, Relaxed);
        self.hash.store(hash, Relaxed);
        self.len.store(id.len() as u64, Relaxed);
        words(id).zip(&self.name).for_each(|(word, kept)| kept.store(word, Relaxed));
        self.end();
        true
    }

    /// From now on, readers do not trust what stands here.
    fn begin(&self) {
        let sequence = self.sequence.load(Relaxed);
        if sequence.is_multiple_of(2) {
            self.sequence.store(sequence + 1, Relaxed);
            fence(Release);
        }
    }

    fn end(&self) {
        let sequence = self.sequence.load(Relaxed);
        if sequence % 2 == 1 {
            self.sequence.store(sequence + 1, Release);
        }
    }
}

/// The bytes of an id, eight by eight, the last ones filled up with zeros.
#[inline]
fn words(id: &str) -> impl Iterator<Item = u64> {
    let (whole, rest) = id.as_bytes().as_chunks::<8>();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let last = (!rest.is_empty()).then(|| u64::from_le_bytes(last));
    whole.iter().map(|word| u64::from_le_bytes(*word)).chain(last)
}
