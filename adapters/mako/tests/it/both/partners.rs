//! Trading partners: one record of each, merged as new messages say.

use super::make::{json_of, second};
use super::mako::error::EngineError;
use super::mako::ids::TenantId;
use super::mako::partner::{CommunicationChannel, InMemoryPartnerStore, PartnerRecord, PartnerStore};
use super::mako::types::MarktpartnerCode;
use crate::shelf::{fresh, in_memory, kept, names};

agree!(InMemoryPartnerStore::new();
    what_is_upserted_is_there,
    a_newer_message_wins,
    what_is_removed_is_gone,
    tenants_have_their_own,
    an_arc_and_a_clone_are_the_same_store,
);

fn code(text: &str) -> MarktpartnerCode {
    MarktpartnerCode::new(text)
}

fn record(id: &str, url: &str) -> PartnerRecord {
    PartnerRecord::minimal(code(id), url)
}

/// What a message says that is valid from some second on.
fn dated(id: &str, url: &str, name: Option<&str>, seconds: i64) -> PartnerRecord {
    let mut record = record(id, url);
    record.display_name = name.map(Into::into);
    record.valid_from = Some(second(seconds));
    record.channels.push(CommunicationChannel::email("edifact@sw.example"));
    record
}

async fn what_is_upserted_is_there<S: PartnerStore>(store: &S) {
    let (tenant, id) = (TenantId::new(), code("9900000000002"));
    assert_eq!(store.get(tenant, &id).await.unwrap(), None);
    let written = record("9900000000002", "https://a.example/as4");
    for _ in 0..2 {
        store.upsert(tenant, &written).await.unwrap();
        assert_eq!(store.get(tenant, &id).await.unwrap().as_ref(), Some(&written));
    }
    assert_eq!(store.as4_endpoint(tenant, &id).await.unwrap().as_deref(), Some("https://a.example/as4"));
    assert_eq!(store.api_webdienste_endpoint(tenant, &id).await.unwrap(), None);
    assert_eq!(store.as4_endpoint(tenant, &code("9900000000003")).await.unwrap(), None);
}

async fn a_newer_message_wins<S: PartnerStore>(store: &S) {
    let tenant = TenantId::new();
    let mut wanted: Option<PartnerRecord> = None;
    for next in [
        record("1", "https://config.example"),
        dated("1", "https://new.example", Some("Stadtwerke"), 100),
        dated("1", "https://old.example", Some("Old"), 50),
        record("1", "https://config.example"),
        dated("1", "https://newest.example", None, 200),
    ] {
        store.upsert(tenant, &next).await.unwrap();
        match &mut wanted {
            Some(wanted) => wanted.merge_from_partin(next),
            None => wanted = Some(next),
        }
        assert_eq!(store.get(tenant, &code("1")).await.unwrap(), wanted);
    }
    let last = wanted.unwrap();
    assert_eq!(
        (last.as4_endpoint(), last.display_name.as_deref()),
        (Some("https://newest.example"), Some("Stadtwerke"))
    );
}

async fn what_is_removed_is_gone<S: PartnerStore>(store: &S) {
    let tenant = TenantId::new();
    store.upsert(tenant, &record("1", "https://a.example")).await.unwrap();
    for _ in 0..2 {
        store.remove(tenant, &code("1")).await.unwrap();
        assert_eq!(store.get(tenant, &code("1")).await.unwrap(), None);
        assert!(store.list(tenant).await.unwrap().is_empty());
    }
}

async fn tenants_have_their_own<S: PartnerStore>(store: &S) {
    let (one, two) = (TenantId::new(), TenantId::new());
    for id in ["2", "1", "1/3", "ä", ""] {
        store.upsert(one, &record(id, "https://one.example")).await.unwrap();
    }
    store.upsert(two, &record("1", "https://two.example")).await.unwrap();
    let mut listed = store.list(one).await.unwrap();
    listed.sort_by(|a, b| a.mp_id.cmp(&b.mp_id));
    assert_eq!(
        listed.iter().map(|record| record.mp_id.as_str()).collect::<Vec<_>>(),
        ["", "1", "1/3", "2", "ä"]
    );
    assert_eq!(store.list(two).await.unwrap()[0].as4_endpoint(), Some("https://two.example"));
    store.remove(two, &code("1")).await.unwrap();
    assert_eq!(store.list(one).await.unwrap().len(), 5);
    assert!(store.list(TenantId::new()).await.unwrap().is_empty());
}

async fn an_arc_and_a_clone_are_the_same_store<S: PartnerStore + Clone>(store: &S) {
    let (shared, tenant) = (std::sync::Arc::new(store.clone()), TenantId::new());
    shared.upsert(tenant, &record("1", "https://a.example")).await.unwrap();
    assert_eq!(store.list(tenant).await.unwrap().len(), 1);
}

/// Messages about one partner come in at once: the newest is what is left, and no merge is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn updates_at_once_are_merged_one_after_the_other() {
    let (store, tenant) = (in_memory(), TenantId::new());
    let mut at_once = tokio::task::JoinSet::new();
    for n in 0..60 {
        let (store, url) = (store.clone(), format!("https://{n}.example"));
        // Only the oldest says its name.
        let next = dated("1", &url, (n == 0).then_some("Stadtwerke"), n);
        if n == 0 {
            store.upsert(tenant, &next).await.unwrap();
        } else {
            at_once.spawn(async move { store.upsert(tenant, &next).await.unwrap() });
        }
    }
    at_once.join_all().await;
    let last = PartnerStore::get(&store, tenant, &code("1")).await.unwrap().unwrap();
    assert_eq!((last.as4_endpoint(), last.valid_from), (Some("https://59.example"), Some(second(59))));
    assert_eq!(last.display_name.as_deref(), Some("Stadtwerke"));
}

#[tokio::test]
async fn how_a_partner_stands_in_the_log() {
    let (store, tenant) = (fresh(), TenantId::new());
    let written = dated("9900000000002", "https://a.example/as4", Some("Stadtwerke"), 0);
    store.upsert(tenant, &written).await.unwrap();
    let name = format!("mako/partner/{tenant}/9900000000002");
    assert_eq!(names(&store, ""), [name.clone()]);
    assert_eq!(kept(&store, &name).unwrap(), serde_json::to_string(&written).unwrap());
    let revision = || store.log().kept(&name).unwrap().unwrap().revision;
    let before = revision();
    store.upsert(tenant, &written).await.unwrap();
    assert_eq!(revision(), before, "what is the same is not written");
    assert_eq!(json_of(&store.list(tenant).await.unwrap()), json_of(&[written]));
}

#[tokio::test]
async fn what_does_not_fit_is_refused() {
    let (store, tenant) = (fresh(), TenantId::new());
    let long = record(&"9".repeat(3_000), "https://a.example");
    let big = record("1", &"x".repeat(1 << 20));
    for refused in [long, big] {
        let error = store.upsert(tenant, &refused).await.unwrap_err();
        assert!(matches!(error, EngineError::Partner { transient: false, .. }), "{error}");
    }
    assert!(names(&store, "").is_empty());
}
