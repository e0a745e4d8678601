//! Tests of the table of versions, apart from it: a checker of interleavings compiles the table, and not these.

use crate::index::versions::{Known, Move, NAME_BYTES, Versions};
use std::hash::{DefaultHasher, Hash, Hasher};

/// Any will do.
fn hash_of(id: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    hasher.finish()
}

fn to(id: &str, version: u64) -> Move<'_> {
    (id, hash_of(id), version)
}

fn ask(versions: &Versions, id: &str) -> Known {
    versions.version(id, hash_of(id))
}

/// Of all ids, also those that are the beginning of another one, with zeros behind it, or of the greatest length.
#[test]
fn what_was_kept_is_told_of_this_id_only() {
    let longest = "x".repeat(NAME_BYTES);
    let ids = ["", "a", "a\0", "12345678", "12345678\0", "123456789", longest.as_str()];
    let versions = Versions::default();
    for (at, id) in ids.into_iter().enumerate() {
        assert_eq!(ask(&versions, id), Known::Nothing { again: false }, "{id:?}");
        assert_eq!(ask(&versions, id), Known::Nothing { again: true }, "{id:?}");
        versions.keep(id, hash_of(id), at as u64);
        assert_eq!(ask(&versions, id), Known::Version(at as u64));
        // One of the same hash.
        assert!(matches!(versions.version("b", hash_of(id)), Known::Nothing { .. }));
    }
    for _ in 0..3 {
        assert_eq!(ask(&versions, &"x".repeat(NAME_BYTES + 1)), Known::Nothing { again: false });
    }
}

#[test]
fn who_is_asked_for_once_takes_no_ones_place() {
    let versions = Versions::default();
    // All in one set, where there is room for two.
    let hash = |i: u64| i << 48 | i;
    versions.keep("a", hash(1), 1);
    versions.keep("b", hash(2), 2);
    assert_eq!(versions.version("c", hash(3)), Known::Nothing { again: false });
    assert_eq!(versions.version("d", hash(4)), Known::Nothing { again: false });
    assert_eq!(versions.version("c", hash(3)), Known::Nothing { again: false });
    assert_eq!(versions.version("c", hash(3)), Known::Nothing { again: true });
    versions.keep("c", hash(3), 3);
    assert_eq!(versions.version("c", hash(3)), Known::Version(3));
    let left = [("a", 1), ("b", 2)].map(|(id, i)| versions.version(id, hash(i)) == Known::Version(i));
    assert_eq!(left.into_iter().filter(|there| *there).count(), 1);
    // One of the same tag takes its place.
    versions.keep("e", hash(3) | 1 << 20, 5);
    assert_eq!(versions.version("e", hash(3) | 1 << 20), Known::Version(5));
    assert!(matches!(versions.version("c", hash(3)), Known::Nothing { .. }));
}

#[test]
fn a_batch_hides_its_streams_before_it_shows_any() {
    let versions = Versions::default();
    for id in ["a", "b"] {
        versions.keep(id, hash_of(id), 1);
    }
    let changes = [to("a", 2), to("unknown", 5), to("b", 2), to("a", 3)];
    versions.hide(changes.into_iter());
    assert!(["a", "b"].iter().all(|id| matches!(ask(&versions, id), Known::Nothing { .. })));
    versions.show(changes.into_iter());
    assert_eq!((ask(&versions, "a"), ask(&versions, "b")), (Known::Version(3), Known::Version(2)));
    assert!(matches!(ask(&versions, "unknown"), Known::Nothing { .. }));
}

/// Two streams that always move together, one after the other: no reader may see the second one behind the first.
#[test]
fn readers_see_versions_of_a_batch_together() {
    use std::sync::RwLock;
    let versions = Versions::default();
    let view = RwLock::new(0);
    let version = |id: &str| match ask(&versions, id) {
        Known::Version(version) => version,
        Known::Nothing { .. } => {
            let version = view.read().unwrap();
            versions.keep(id, hash_of(id), *version);
            *version
        }
    };
    std::thread::scope(|scope| {
        let readers = [["a", "b"], ["b", "a"]].map(|[first, second]| {
            scope.spawn(move || {
                let mut last = 0;
                while last < 20_000 {
                    let (early, late) = (version(first), version(second));
                    assert!(last <= early && early <= late, "{last}, {early}, {late}");
                    last = late;
                }
            })
        });
        for next in 1..=20_000 {
            let changes = [to("a", next), to("b", next)];
            let mut view = view.write().unwrap();
            versions.hide(changes.into_iter());
            *view = next;
            versions.show(changes.into_iter());
        }
        readers.into_iter().for_each(|reader| reader.join().unwrap());
    });
}
