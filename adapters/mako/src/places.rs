//! Where everything stands in the log, and how a time is written in a name.
//!
//! Owns every name that this crate writes. Both versions of mako-engine use these, so that each reads what the other wrote.

use annals_adapter::Names;
use time::{OffsetDateTime, UtcOffset};

/// The names of one namespace.
#[derive(Debug)]
pub(crate) struct Places {
    /// Streams of events, by stream id.
    pub(crate) streams: Names,
    /// Messages of the outbox, by id.
    pub(crate) messages: Names,
    /// Messages that may be delivered at any time: creation time, id.
    pub(crate) ready: Names,
    /// Messages that may not be delivered before some time: that time, creation time, id.
    pub(crate) deferred: Names,
    /// Deadlines, by id.
    pub(crate) deadlines: Names,
    /// Deadlines by the time when they are due: that time, id.
    pub(crate) due: Names,
    /// Deadlines by their stream: stream id, id.
    of_stream: Names,
    /// Routing keys: tenant, key.
    pub(crate) registry: Names,
    /// Processes under a tag: tenant, tag, process id.
    correlated: Names,
    /// Snapshots, by stream id.
    pub(crate) snapshots: Names,
    /// Messages that came in, by key.
    pub(crate) inbox: Names,
    /// The same by the time of their last claim: that time, key.
    pub(crate) inbox_ages: Names,
    /// Cursors of projections: name, stream id.
    checkpoints: Names,
    /// Trading partners: tenant, their code.
    partners: Names,
    /// The stream of what was rejected.
    pub(crate) dead_letters: String,
}

impl Places {
    pub(crate) fn new(namespace: &str) -> Places {
        let root = Names::new(namespace);
        let outbox = root.under("outbox");
        let deadline = root.under("deadline");
        let inbox = root.under("inbox");
        Places {
            streams: root.under("stream"),
            messages: outbox.under("message"),
            ready: outbox.under("ready"),
            deferred: outbox.under("deferred"),
            deadlines: deadline.under("id"),
            due: deadline.under("due"),
            of_stream: deadline.under("stream"),
            registry: root.under("registry"),
            correlated: root.under("correlated"),
            snapshots: root.under("snapshot"),
            inbox: inbox.under("key"),
            inbox_ages: inbox.under("age"),
            checkpoints: root.under("checkpoint"),
            partners: root.under("partner"),
            dead_letters: root.name("dead-letters"),
        }
    }

    /// The deadlines of one stream, by id.
    pub(crate) fn deadlines_of(&self, stream: &str) -> Names {
        self.of_stream.under(stream)
    }

    /// The processes under a tag, by id.
    pub(crate) fn correlated(&self, tenant: &str, tag: &str) -> Names {
        self.correlated.under(tenant).under(tag)
    }

    /// The cursors of a projection, by stream id.
    pub(crate) fn checkpoint(&self, projection: &str) -> Names {
        self.checkpoints.under(projection)
    }

    /// The trading partners of a tenant, by their code.
    pub(crate) fn partners(&self, tenant: &str) -> Names {
        self.partners.under(tenant)
    }
}

const FIRST: &str = "0000-01-01T00:00:00.000000000Z";
const LAST: &str = "9999-12-31T23:59:59.999999999Z";

/// A time as it stands in names: always equally long, so that names sort as times do. Times that RFC 3339 has no words for are
/// its first or its last one.
pub(crate) fn sortable(time: OffsetDateTime) -> String {
    let utc = time.checked_to_offset(UtcOffset::UTC).filter(|utc| (0..=9999).contains(&utc.year()));
    let Some(utc) = utc else {
        return if time.unix_timestamp() < 0 { FIRST } else { LAST }.to_owned();
    };
    let (date, clock) = (utc.date(), utc.time());
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:09}Z",
        date.year(),
        u8::from(date.month()),
        date.day(),
        clock.hour(),
        clock.minute(),
        clock.second(),
        clock.nanosecond()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use time::Duration;
    use time::format_description::well_known::Rfc3339;

    fn at(seconds: i64, nanos: i64) -> OffsetDateTime {
        OffsetDateTime::UNIX_EPOCH + Duration::new(seconds, nanos as i32)
    }

    #[test]
    fn times_before_1970_and_far_in_the_future_have_their_place() {
        assert_eq!(sortable(OffsetDateTime::UNIX_EPOCH), "1970-01-01T00:00:00.000000000Z");
        assert_eq!(sortable(at(-1, 0)), "1969-12-31T23:59:59.000000000Z");
        assert_eq!(sortable(at(13_569_465_600, 5)), "2400-01-01T00:00:00.000000005Z");
        let berlin = UtcOffset::from_hms(2, 0, 0).unwrap();
        assert_eq!(sortable(at(0, 1).to_offset(berlin)), "1970-01-01T00:00:00.000000001Z");
        for out in [OffsetDateTime::new_utc(time::Date::MIN, time::Time::MIDNIGHT), at(-62_167_219_201, 0)] {
            assert_eq!(sortable(out), FIRST, "{out}");
        }
        let west = UtcOffset::from_hms(-23, 0, 0).unwrap();
        let last = time::Date::MAX.with_hms(23, 0, 0).unwrap().assume_offset(west);
        assert_eq!(sortable(last), LAST);
    }

    proptest! {
        #[test]
        fn names_sort_as_times_do(a in -62_167_219_200..=253_402_300_799i64, b in -62_167_219_200..=253_402_300_799i64,
            n in 0..1_000_000_000i64, m in 0..1_000_000_000i64, near in any::<bool>()) {
            let (one, two) = (at(a, n), at(if near { a } else { b }, m));
            prop_assert_eq!(sortable(one).cmp(&sortable(two)), one.cmp(&two));
            prop_assert_eq!(OffsetDateTime::parse(&sortable(one), &Rfc3339).unwrap(), one);
        }
    }
}
