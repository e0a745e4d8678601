//! The workload: streams, payloads, and which stream gets events when, from fixed seeds.
//!
//! Owns what is written, so that every store gets the same bytes in the same order, and knows what must be read back. Must
//! know nothing of any store.

use crate::store::Tally;

pub(crate) const PAYLOAD_BYTES: usize = 256;
pub(crate) const EVENT_TYPE: &str = "OrderPlaced";
/// The ingest workload: atomic appends of so many events to each of so many streams.
pub(crate) const INGEST_EVENTS: usize = 10;
pub(crate) const INGEST_STREAMS: usize = 100;
/// How many different payloads go round.
const PAYLOADS: usize = 1024;

/// SplitMix64: the same numbers on every machine and in every year.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}

/// Streams, payloads, and the order of the ingest workload.
pub(crate) struct Workload {
    ids: Vec<String>,
    payloads: Vec<[u8; PAYLOAD_BYTES]>,
    /// Streams in the order in which the ingest workload writes to them, a hundred to an append.
    plan: Vec<u32>,
}

impl Workload {
    /// `events` are what the ingest workload writes in all: rounded down so that each stream gets as many.
    pub(crate) fn new(events: usize, streams: usize) -> Workload {
        let streams = streams.next_multiple_of(INGEST_STREAMS);
        let mut random = Random::new(0x00A7_7A15);
        let mut payloads = vec![[0; PAYLOAD_BYTES]; PAYLOADS];
        for payload in &mut payloads {
            payload.fill_with(|| random.next() as u8);
        }
        let mut plan = Vec::new();
        let mut order: Vec<u32> = (0..streams as u32).collect();
        for _ in 0..(events / (streams * INGEST_EVENTS)).max(1) {
            random.shuffle(&mut order);
            plan.extend_from_slice(&order);
        }
        Workload { ids: (0..streams).map(stream_id).collect(), payloads, plan }
    }

    pub(crate) fn streams(&self) -> usize {
        self.ids.len()
    }

    /// How many events the ingest workload writes.
    pub(crate) fn ingested(&self) -> usize {
        self.plan.len() * INGEST_EVENTS
    }

    /// The name of a stream; those beyond the last begin anew.
    pub(crate) fn id(&self, stream: usize) -> &str {
        &self.ids[stream % self.ids.len()]
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = &str> {
        self.ids.iter().map(String::as_str)
    }

    /// The payload of the event with this number.
    pub(crate) fn payload(&self, n: usize) -> &[u8] {
        &self.payloads[n % PAYLOADS]
    }

    /// The payloads of so many events from this number on.
    pub(crate) fn payloads(&self, first: usize, count: usize) -> Vec<&[u8]> {
        (first..first + count).map(|n| self.payload(n)).collect()
    }

    /// The streams of each append of the ingest workload.
    pub(crate) fn ingest_groups(&self) -> impl Iterator<Item = &[u32]> {
        self.plan.chunks_exact(INGEST_STREAMS)
    }

    /// What is read back of so many events of the ingest workload.
    pub(crate) fn tally(&self, events: usize) -> Tally {
        let mut tally = Tally::default();
        (0..events).for_each(|n| tally.add(self.payload(n)));
        tally
    }

    /// All streams, in random order.
    pub(crate) fn shuffled_ids(&self, seed: u64) -> Vec<&str> {
        let mut ids: Vec<&str> = self.ids().collect();
        Random::new(seed).shuffle(&mut ids);
        ids
    }

    /// Streams picked at random.
    pub(crate) fn picked_ids(&self, count: usize, seed: u64) -> Vec<&str> {
        let mut random = Random::new(seed);
        (0..count).map(|_| self.id(random.below(self.ids.len()))).collect()
    }
}

/// The name of a stream by its number.
pub(crate) fn stream_id(stream: usize) -> String {
    format!("order-{stream:08}")
}

#[cfg(test)]
mod tests {
    use super::Workload;

    #[test]
    fn every_stream_gets_as_many_and_nothing_depends_on_the_day() {
        let work = Workload::new(20_000, 200);
        assert_eq!(work.ingested(), 20_000);
        assert_eq!(work.tally(work.ingested()), Workload::new(20_000, 200).tally(20_000));
        let mut groups = vec![0; work.streams()];
        work.ingest_groups().flatten().for_each(|stream| groups[*stream as usize] += 1);
        assert!(groups.iter().all(|count| *count == groups[0]));
    }
}
