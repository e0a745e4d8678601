//! The bytes of index files, both ways (FORMAT.md section 13).
//!
//! Owns parts, cells, buckets, rows and their checksums. Where the format leaves a choice (how many buckets there are), this one
//! chooses otherwise than a writer would that cares for speed.

use super::layer::{HAD_VALUE, HAS_VALUE, KeptRow, Layer, REGISTERED, Row, Run, hash};
use super::*;
use std::collections::BTreeMap;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

const CELL: usize = 512;
const BUCKET: usize = 64;

fn sum(bytes: &[u8], salt: u64, offset: usize) -> u64 {
    xxh3_64_with_seed(bytes, salt ^ offset as u64)
}

fn numbers(numbers: &[u64]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

fn halves(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

/// An index file in the making.
struct Maker {
    bytes: Vec<u8>,
    salt: u64,
    /// Offset, bytes in use, count.
    parts: Vec<[u64; 3]>,
}

impl Maker {
    /// Where the next part begins.
    fn begin(&mut self) -> usize {
        let at = self.bytes.len().next_multiple_of(PAGE).max(PAGE);
        self.bytes.resize(at, 0);
        at
    }

    fn part(&mut self, at: usize, count: usize) {
        self.parts.push([at as u64, (self.bytes.len() - at) as u64, count as u64]);
    }

    /// Fills up to the end of a piece of `size` bytes that began at `at`, and proves it.
    fn seal(&mut self, at: usize, size: usize) {
        self.bytes.resize(at + size - 8, 0);
        let sum = sum(&self.bytes[at..], self.salt, at);
        self.bytes.extend(sum.to_le_bytes());
    }

    fn cells(&mut self, entries: &[Vec<u8>]) {
        let begun = self.begin();
        let in_cell = entries.first().map_or(1, |entry| (CELL - 8) / entry.len());
        for entries in entries.chunks(in_cell) {
            let at = self.bytes.len();
            self.bytes.extend(entries.concat());
            self.seal(at, CELL);
        }
        self.part(begun, entries.len());
    }

    /// Rows of so many numbers, a name and what follows it; and the buckets over them. Tells where each row stands.
    fn rows(&mut self, rows: &[(Vec<u8>, &str, u16, &[u8])], with_buckets: bool) -> Vec<Vec<u8>> {
        let begun = self.begin();
        let mut places = Vec::new();
        for (numbers, name, flags, attributes) in rows {
            let at = self.bytes.len();
            places.push((at - begun) as u64);
            let mut row = (name.len() as u16).to_le_bytes().to_vec();
            row.extend(flags.to_le_bytes());
            row.extend(hash(name).to_le_bytes());
            row.extend(numbers);
            row.extend(name.as_bytes());
            row.extend(*attributes);
            let len = (12 + row.len()).next_multiple_of(8);
            let mut covered = (len as u32).to_le_bytes().to_vec();
            covered.extend(row);
            covered.resize(len - 8, 0);
            self.bytes.extend(sum(&covered, self.salt, at).to_le_bytes());
            self.bytes.extend(covered);
        }
        self.part(begun, rows.len());
        if with_buckets {
            let names = rows.iter().map(|(_, name, ..)| *name);
            self.buckets(&names.zip(places.iter().copied()).collect::<Vec<_>>());
        }
        places.into_iter().map(|place| place.to_le_bytes().to_vec()).collect()
    }

    /// One bucket for three rows, so that some run over.
    fn buckets(&mut self, rows: &[(&str, u64)]) {
        let begun = self.begin();
        let count = rows.len().div_ceil(3);
        let mut buckets: Vec<Vec<u8>> = vec![Vec::new(); count];
        for (name, place) in rows {
            let mut bucket = ((u128::from(hash(name)) * count as u128) >> 64) as usize;
            while buckets.get(bucket).is_some_and(|slots| slots.len() == 56) {
                bucket += 1;
            }
            buckets.resize(buckets.len().max(bucket + 1), Vec::new());
            buckets[bucket].extend(halves(&[(place / 8 + 1) as u32, hash(name) as u32]));
        }
        for slots in buckets {
            let at = self.bytes.len();
            self.bytes.extend(slots);
            self.seal(at, BUCKET);
        }
        self.part(begun, count);
    }
}

impl Layer {
    /// The file.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut maker = Maker { bytes: Vec::new(), salt: self.salt, parts: Vec::new() };
        let Layer { marks, streams, kept, tenants, sums, .. } = self;
        maker.cells(&marks.iter().map(|(p, o, s)| numbers(&[*p, *o, u64::from(*s)])).collect::<Vec<_>>());
        let mut first_run = 0;
        let rows: Vec<_> = streams
            .iter()
            .map(|(id, row)| (row.numbers(&mut first_run, tenants), &**id, row.flags, &*row.attributes))
            .collect();
        let mut places = maker.rows(&rows, true);
        let mut flags = streams.values().map(|row| row.flags);
        places.retain(|_| flags.next().unwrap() & REGISTERED != 0);
        maker.cells(&places);
        maker.cells(&streams.values().flat_map(|row| row.runs.iter().map(Run::encode)).collect::<Vec<_>>());
        let rows: Vec<_> =
            kept.iter().map(|(name, row)| (row.numbers(), &**name, row.flags, &[][..])).collect();
        let mut places = maker.rows(&rows, true);
        let mut balance = 0i64;
        for (place, row) in places.iter_mut().zip(kept.values()) {
            place.extend(balance.to_le_bytes());
            balance += row.gain();
        }
        maker.cells(&places);
        let mut first = 0;
        let bound = |bindings: &Vec<(u64, u64)>| {
            first += bindings.len();
            numbers(&[(first - bindings.len()) as u64, bindings.len() as u64])
        };
        let bound: Vec<_> = tenants.values().map(bound).collect();
        let rows: Vec<_> =
            bound.into_iter().zip(tenants.keys()).map(|(bound, name)| (bound, &**name, 0, &[][..])).collect();
        let places = maker.rows(&rows, false);
        maker.cells(&places);
        maker.cells(
            &tenants
                .values()
                .flatten()
                .map(|(ordinal, hash)| numbers(&[*ordinal, *hash]))
                .collect::<Vec<_>>(),
        );
        maker.cells(&sums.iter().map(|(frame, body)| halves(&[*frame, *body])).collect::<Vec<_>>());
        let head = self.head(&maker.parts);
        put(&mut maker.bytes, 0, &head);
        maker.bytes
    }

    fn head(&self, parts: &[[u64; 3]]) -> Vec<u8> {
        let mut head = vec![0; PAGE];
        put(&mut head, 0, b"ANNALIDX");
        put(&mut head, 8, &1u16.to_le_bytes());
        put(&mut head, 16, &self.log_id);
        let Layer { number, salt, from, to, to_salt, next_position, time, batch, batch_start, .. } = *self;
        let Layer { first_position, revision, creation, events, last_frame, .. } = *self;
        let place =
            [number, salt, from.0, from.1, to.0, to.1, to_salt, next_position, time, batch, batch_start];
        let counts = [first_position, revision, creation, self.sums.len() as u64, events, last_frame];
        put(&mut head, 32, &numbers(&place));
        put(&mut head, 120, &numbers(&counts));
        put(&mut head, 168, &self.checksum.to_le_bytes());
        put(&mut head, 192, &numbers(&parts.concat()));
        let proof = xxh3_64(&head[..PAGE - 8]);
        put(&mut head, PAGE - 8, &proof.to_le_bytes());
        head
    }

    /// What a checkpoint says of the file: its number, and the checksum of its head.
    pub(crate) fn named(&self, bytes: &[u8]) -> (u64, u64) {
        (self.number, u64_at(bytes, PAGE - 8))
    }
}

impl Row {
    fn numbers(&self, first_run: &mut u64, tenants: &BTreeMap<String, Vec<(u64, u64)>>) -> Vec<u8> {
        let Row { version, first_kept, created, last_append, creation_ordinal, last_position, runs, .. } =
            self;
        let first_version = runs.first().map_or(0, |run| run.version);
        let tenant = tenants.keys().position(|name| *name == self.tenant).map_or(0, |at| at + 1);
        let mut out =
            numbers(&[*version, *first_kept, *created, *last_append, *creation_ordinal, *last_position]);
        out.extend(numbers(&[*first_run, first_version]));
        out.extend(halves(&[
            runs.len() as u32,
            self.runs_before,
            tenant as u32,
            self.attributes.len() as u32,
        ]));
        *first_run += runs.len() as u64;
        out
    }
}

impl Run {
    fn encode(&self) -> Vec<u8> {
        let Run { version, position, time, frame, segment, section, at, len, events } = *self;
        let mut out = numbers(&[version, position, time]);
        out.extend(halves(&[(frame / 8) as u32, segment, section, at, len, events]));
        out
    }

    fn decode(raw: &[u8]) -> Run {
        Run {
            version: u64_at(raw, 0),
            position: u64_at(raw, 8),
            time: u64_at(raw, 16),
            frame: u64::from(u32_at(raw, 24)) * 8,
            segment: u32_at(raw, 28),
            section: u32_at(raw, 32),
            at: u32_at(raw, 36),
            len: u32_at(raw, 40),
            events: u32_at(raw, 44),
        }
    }
}

impl KeptRow {
    fn numbers(&self) -> Vec<u8> {
        let mut out = numbers(&[self.revision, self.offset]);
        out.extend(halves(&[self.segment, self.len, self.id_checksum, 0]));
        out
    }

    /// How many values the range has brought.
    fn gain(&self) -> i64 {
        i64::from(self.flags & HAS_VALUE != 0) - i64::from(self.flags & HAD_VALUE != 0)
    }
}

/// An index file that is being read.
struct Looker<'a> {
    bytes: &'a [u8],
    salt: u64,
}

/// A row as it stands: where, flags, its numbers, name, and what follows that up to the end.
type RawRow<'a> = (u64, u16, &'a [u8], String, &'a [u8]);

type Said<T> = Result<T, &'static str>;

impl<'a> Looker<'a> {
    fn part(&self, index: usize) -> Said<(usize, &'a [u8], usize)> {
        let [at, len, count] = std::array::from_fn(|i| u64_at(self.bytes, 192 + 24 * index + 8 * i) as usize);
        if len == 0 {
            return if count == 0 { Ok((at, &[], 0)) } else { Err("the count of an empty part") };
        }
        if at < PAGE || !at.is_multiple_of(PAGE) {
            return Err("the place of a part");
        }
        Ok((at, self.bytes.get(at..at + len).ok_or("a part that is not there")?, count))
    }

    /// The pieces of a part that carry a sum at their end.
    fn pieces(&self, index: usize, size: usize) -> Said<Vec<&'a [u8]>> {
        let (at, bytes, _) = self.part(index)?;
        let proven = |(i, piece): (usize, &'a [u8])| {
            let whole = piece.len() == size;
            let right = whole && u64_at(piece, size - 8) == sum(&piece[..size - 8], self.salt, at + i * size);
            if right { Ok(&piece[..size - 8]) } else { Err("the sum of a piece") }
        };
        bytes.chunks(size).enumerate().map(proven).collect()
    }

    fn cells(&self, index: usize, size: usize) -> Said<Vec<&'a [u8]>> {
        let (_, _, count) = self.part(index)?;
        let in_cell = (CELL - 8) / size;
        let cells = self.pieces(index, CELL)?;
        let entries: Vec<_> = cells.iter().flat_map(|cell| cell[..in_cell * size].chunks(size)).collect();
        let rest = cells.iter().flat_map(|cell| &cell[in_cell * size..]).all(|byte| *byte == 0);
        if !rest
            || cells.len() != count.div_ceil(in_cell)
            || !entries[count..].iter().all(|entry| is_zero(entry))
        {
            return Err("what is behind the entries of a cell");
        }
        Ok(entries[..count].to_vec())
    }

    fn rows(&self, index: usize, numbers: usize) -> Said<Vec<RawRow<'a>>> {
        let (begun, bytes, count) = self.part(index)?;
        let (mut at, mut rows) = (0, Vec::new());
        while at < bytes.len() {
            let len = u32_at(&bytes[at..], 8) as usize;
            let row = bytes
                .get(at..at + len)
                .filter(|_| len.is_multiple_of(8) && len >= 24 + numbers)
                .ok_or("a row")?;
            let name_end = 24 + numbers + usize::from(u16_at(row, 12));
            let name = row.get(24 + numbers..name_end).ok_or("the name of a row")?;
            let name = String::from_utf8(name.to_vec()).map_err(|_| "the name of a row")?;
            if u64_at(row, 0) != sum(&row[8..], self.salt, begun + at) || u64_at(row, 16) != hash(&name) {
                return Err("the sum or the hash of a row");
            }
            if rows.last().is_some_and(|(_, _, _, last, _)| *last >= name) {
                return Err("the order of rows");
            }
            rows.push((at as u64, u16_at(row, 14), &row[24..24 + numbers], name, &row[name_end..]));
            at += len;
        }
        if rows.len() == count { Ok(rows) } else { Err("the number of rows") }
    }

    /// Every row is found from its bucket on, before one that is not full; and there is nothing else.
    fn buckets(&self, index: usize, rows: &[RawRow<'_>]) -> Said<()> {
        let (_, _, count) = self.part(index)?;
        let buckets = self.pieces(index, BUCKET)?;
        let slot = |name: &str, place: u64| halves(&[(place / 8 + 1) as u32, hash(name) as u32]);
        let used = |bucket: &&[u8]| bucket.chunks(8).filter(|slot| !is_zero(slot)).count();
        for (place, _, _, name, _) in rows {
            let mut bucket = ((u128::from(hash(name)) * count as u128) >> 64) as usize;
            while !buckets
                .get(bucket)
                .ok_or("a row without a slot")?
                .chunks(8)
                .any(|it| it == slot(name, *place))
            {
                if used(&buckets[bucket]) < 7 {
                    return Err("a row that is not found");
                }
                bucket += 1;
            }
        }
        let first = buckets.iter().all(|bucket| is_zero(&bucket[8 * used(bucket)..]));
        if first && buckets.iter().map(used).sum::<usize>() == rows.len() {
            Ok(())
        } else {
            Err("slots of buckets")
        }
    }
}

impl Layer {
    /// What the bytes of a file say, if all of it is right by itself.
    pub(crate) fn decode(bytes: &[u8]) -> Said<Layer> {
        let head = bytes.get(..PAGE).ok_or("no head")?;
        let zeros = [10..16, 172..192, 480..PAGE - 8].into_iter().all(|range| is_zero(&head[range]));
        if &head[..8] != b"ANNALIDX"
            || u16_at(head, 8) != 1
            || u64_at(head, PAGE - 8) != xxh3_64(&head[..PAGE - 8])
            || !zeros
        {
            return Err("the head");
        }
        let number = |i: usize| u64_at(head, 32 + 8 * i);
        let look = Looker { bytes, salt: number(1) };
        let mark = |raw: &[u8]| (u64_at(raw, 0), u64_at(raw, 8), u32_at(raw, 16));
        let runs: Vec<Run> = look.cells(4, 48)?.into_iter().map(Run::decode).collect();
        let bindings: Vec<_> =
            look.cells(10, 16)?.into_iter().map(|raw| (u64_at(raw, 0), u64_at(raw, 8))).collect();
        let tenant_rows = look.rows(8, 16)?;
        let mut tenants = BTreeMap::new();
        for (_, _, numbers, name, _) in &tenant_rows {
            let first = u64_at(numbers, 0) as usize;
            let bound = bindings.get(first..first + u64_at(numbers, 8) as usize).ok_or("bindings")?;
            tenants.insert(name.clone(), bound.to_vec());
        }
        let rows = look.rows(1, 80)?;
        look.buckets(2, &rows)?;
        let (mut streams, mut first_run) = (BTreeMap::new(), 0);
        for (_, flags, raw, id, rest) in &rows {
            let [run_count, runs_before, tenant, attributes] =
                std::array::from_fn(|i| u32_at(raw, 64 + 4 * i) as usize);
            let runs = runs.get(first_run..first_run + run_count).ok_or("runs")?.to_vec();
            let first_version = runs.first().map_or(0, |run| run.version);
            if u64_at(raw, 48) != first_run as u64
                || u64_at(raw, 56) != first_version
                || attributes > rest.len()
                || !is_zero(&rest[attributes..])
                || rest.len() - attributes >= 8
            {
                return Err("the row of a stream");
            }
            first_run += run_count;
            let tenant = match tenant {
                0 => String::new(),
                nth => tenant_rows.get(nth - 1).ok_or("the tenant of a stream")?.3.clone(),
            };
            let [version, first_kept, created, last_append, creation_ordinal, last_position] =
                std::array::from_fn(|i| u64_at(raw, 8 * i));
            let runs_before = runs_before as u32;
            let attributes = rest[..attributes].to_vec();
            streams.insert(
                id.clone(),
                Row {
                    flags: *flags,
                    version,
                    first_kept,
                    created,
                    last_append,
                    creation_ordinal,
                    last_position,
                    runs,
                    runs_before,
                    tenant,
                    attributes,
                },
            );
        }
        let kept_rows = look.rows(5, 32)?;
        look.buckets(6, &kept_rows)?;
        let kept: BTreeMap<String, KeptRow> = kept_rows
            .iter()
            .map(|(_, flags, raw, name, _)| {
                let [segment, len, id_checksum] = std::array::from_fn(|i| u32_at(raw, 16 + 4 * i));
                (
                    name.clone(),
                    KeptRow {
                        flags: *flags,
                        revision: u64_at(raw, 0),
                        offset: u64_at(raw, 8),
                        segment,
                        len,
                        id_checksum,
                    },
                )
            })
            .collect();
        let registered: Vec<u64> =
            rows.iter().filter(|row| row.1 & REGISTERED != 0).map(|row| row.0).collect();
        let ordered = |index| {
            look.cells(index, 8).map(|cells| cells.into_iter().map(|raw| u64_at(raw, 0)).collect::<Vec<_>>())
        };
        let mut balance = 0;
        let balanced =
            kept_rows.iter().zip(kept.values()).zip(look.cells(7, 16)?).all(|((row, value), raw)| {
                let right = (u64_at(raw, 0), u64_at(raw, 8) as i64) == (row.0, balance);
                balance += value.gain();
                right
            });
        let tenant_order: Vec<u64> = tenant_rows.iter().map(|row| row.0).collect();
        if first_run != runs.len()
            || ordered(3)? != registered
            || !balanced
            || look.part(7)?.2 != kept.len()
            || ordered(9)? != tenant_order
        {
            return Err("runs or an order");
        }
        let sums: Vec<_> =
            look.cells(11, 8)?.into_iter().map(|raw| (u32_at(raw, 0), u32_at(raw, 4))).collect();
        if number(14) != sums.len() as u64 {
            return Err("the number of frames");
        }
        Ok(Layer {
            log_id: array_at(head, 16),
            number: number(0),
            salt: number(1),
            from: (number(2), number(3)),
            to: (number(4), number(5)),
            to_salt: number(6),
            next_position: number(7),
            time: number(8),
            batch: number(9),
            batch_start: number(10),
            first_position: number(11),
            revision: number(12),
            creation: number(13),
            events: number(15),
            last_frame: number(16),
            checksum: u32_at(head, 168),
            marks: look.cells(0, 24)?.into_iter().map(mark).collect(),
            streams,
            kept,
            tenants,
            sums,
        })
    }
}
