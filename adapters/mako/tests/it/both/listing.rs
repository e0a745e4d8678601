//! Which streams there are.

use super::make::{events, stream};
use super::mako::event_store::{EventStore, ExpectedVersion, InMemoryEventStore};
use super::mako::ids::StreamId;
use super::{Store, append};
use crate::shelf::{fresh, in_memory};

agree!(InMemoryEventStore::new();
    a_prefix_is_of_bytes,
    pages_are_in_the_order_of_bytes,
    a_page_begins_behind_the_cursor,
    a_page_of_none_is_empty,
);

async fn make(store: &impl Store, ids: &[&str]) {
    for id in ids {
        append(store, &stream(id), ExpectedVersion::NoStream, &events(1)).await.unwrap();
    }
}

fn texts(ids: &[StreamId]) -> Vec<&str> {
    ids.iter().map(StreamId::as_str).collect()
}

/// All pages of this size, one after the other, as the documentation shows it.
async fn pages(store: &impl Store, prefix: Option<&str>, size: usize) -> Vec<StreamId> {
    let (mut all, mut cursor) = (Vec::new(), None);
    loop {
        let page = store.list_streams_page(prefix, cursor.as_ref(), size).await.unwrap();
        assert!(page.len() <= size);
        all.extend(page.iter().cloned());
        if page.len() < size {
            return all;
        }
        cursor = page.into_iter().next_back();
    }
}

async fn a_prefix_is_of_bytes<S: Store>(store: &S) {
    make(store, &["process/a", "process/b", "process", "partner/x", "prozess/ä", "p"]).await;
    for (prefix, wanted) in [
        (Some("process/"), vec!["process/a", "process/b"]),
        (Some("process"), vec!["process", "process/a", "process/b"]),
        (Some("p"), vec!["p", "partner/x", "process", "process/a", "process/b", "prozess/ä"]),
        (Some("process/a"), vec!["process/a"]),
        (Some("x"), vec![]),
        (Some(""), vec!["p", "partner/x", "process", "process/a", "process/b", "prozess/ä"]),
        (None, vec!["p", "partner/x", "process", "process/a", "process/b", "prozess/ä"]),
    ] {
        let mut listed = store.list_streams(prefix).await.unwrap();
        listed.sort_unstable();
        assert_eq!(texts(&listed), wanted, "{prefix:?}");
        assert_eq!(texts(&pages(store, prefix, 2).await), wanted, "{prefix:?}");
    }
}

async fn pages_are_in_the_order_of_bytes<S: Store>(store: &S) {
    let mut ids = ["b", "a", "ab", "a/b", "Z", "ä", "a%2Fb", "z", "\u{1F600}", "a b"];
    make(store, &ids).await;
    ids.sort_unstable();
    for size in [1, 2, 3, ids.len(), 100] {
        assert_eq!(texts(&pages(store, None, size).await), ids);
    }
}

async fn a_page_begins_behind_the_cursor<S: Store>(store: &S) {
    make(store, &["process/a", "process/b", "process/c", "quota"]).await;
    let page = |prefix, cursor: &str, limit| {
        let cursor = stream(cursor);
        async move { store.list_streams_page(prefix, Some(&cursor), limit).await.unwrap() }
    };
    assert_eq!(texts(&page(Some("process/"), "process/a", 1).await), ["process/b"]);
    assert_eq!(texts(&page(Some("process/"), "process/b", 9).await), ["process/c"]);
    assert_eq!(texts(&page(None, "process/c", usize::MAX).await), ["quota"]);
    assert!(page(Some("process/"), "process/c", 9).await.is_empty());
}

async fn a_page_of_none_is_empty<S: Store>(store: &S) {
    make(store, &["a"]).await;
    assert!(store.list_streams_page(None, None, 0).await.unwrap().is_empty());
}

/// The reference stores give nothing, or forget the prefix; the documentation says "after", in byte order.
#[tokio::test]
async fn a_cursor_need_not_exist() {
    let store = fresh();
    make(&*store, &["b", "d", "da", "e"]).await;
    for (prefix, cursor, wanted) in [
        (None, "c", vec!["d", "da", "e"]),
        (None, "a", vec!["b", "d", "da", "e"]),
        (Some("d"), "a", vec!["d", "da"]),
        (Some("d"), "d", vec!["da"]),
        (Some("d"), "e", vec![]),
        (None, "f", vec![]),
    ] {
        let page = store.list_streams_page(prefix, Some(&stream(cursor)), 9).await.unwrap();
        assert_eq!(texts(&page), wanted, "{prefix:?} behind {cursor}");
    }
    let memory = InMemoryEventStore::new();
    make(&memory, &["b", "d"]).await;
    assert!(
        memory.list_streams_page(None, Some(&stream("c")), 9).await.unwrap().is_empty(),
        "the difference"
    );
}

#[tokio::test]
async fn many_streams_are_listed_in_pages() {
    let store = in_memory();
    let ids: Vec<String> = (0..1_300).map(|n| format!("process/{n:05}")).collect();
    make(&store, &ids.iter().map(String::as_str).collect::<Vec<_>>()).await;
    assert_eq!(texts(&store.list_streams(None).await.unwrap()), ids);
    assert_eq!(texts(&store.list_streams_page(None, None, usize::MAX).await.unwrap()), ids);
    assert_eq!(texts(&store.list_streams_page(None, None, 700).await.unwrap()), ids[..700]);
    assert_eq!(texts(&pages(&store, Some("process/"), 256).await), ids);
}
