//! Layers against a plain picture of the same range: made, merged, and with every byte wrong in turn.

use super::*;
use crate::format::cell::{Binding, FrameSums, Mark, Run};
use crate::format::frame::Chain;
use crate::format::layer::Part;
use crate::format::row::{KeptRow, StreamRow, encode};
use crate::segment::name::{INDEX_TEMPORARY, index_name};
use crate::storage::{Memory, Storage};
use crate::types::{Location, ReadMode};
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_64;

#[derive(Debug, Clone, Default, PartialEq)]
struct Stream {
    tenant: Option<String>,
    version: u64,
    created: u64,
    ordinal: u64,
    attributes: Vec<u8>,
    tombstoned: bool,
    runs: Vec<Run>,
    runs_before: u32,
    registered_here: bool,
    bound_here: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Kept {
    had: bool,
    /// 0: no value.
    revision: u64,
}

/// What a layer should say: the names that its range speaks of.
#[derive(Debug, Clone, Default)]
struct Picture {
    from: u64,
    to: u64,
    marks: Vec<Mark>,
    streams: BTreeMap<String, Stream>,
    kept: BTreeMap<String, Kept>,
}

/// A pseudo-random number below a bound, from a state that moves on.
fn below(state: &mut u64, bound: u64) -> u64 {
    *state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
    (*state >> 33) % bound
}

fn name(i: u64) -> String {
    match i % 5 {
        0 => format!("k/{i:04}"),
        1 => format!("k{i}"),
        2 => format!("ä{i}").repeat(1 + i as usize % 30),
        _ => format!("{i}"),
    }
}

/// Pictures of ranges that follow each other, each with its own changes and the states behind it.
fn history(seed: u64, ranges: u64, changes: u64) -> Vec<Picture> {
    let mut random = seed;
    let mut all: BTreeMap<String, Stream> = BTreeMap::new();
    let mut values: BTreeMap<String, u64> = BTreeMap::new();
    let (mut position, mut ordinal, mut revision) = (1, 0, 0);
    let mut pictures = Vec::new();
    for _ in 0..ranges {
        let mut picture = Picture { from: position, ..Picture::default() };
        for stream in all.values_mut() {
            stream.runs_before += stream.runs.len() as u32;
            stream.runs.clear();
            (stream.registered_here, stream.bound_here) = (false, false);
        }
        for _ in 0..below(&mut random, changes) {
            let id = name(below(&mut random, 40));
            let known = all.contains_key(&id);
            let stream = all.entry(id.clone()).or_default();
            if !known {
                ordinal += 1;
                stream.registered_here = true;
                (stream.created, stream.ordinal) = (position * 10, ordinal);
                stream.attributes = vec![7; below(&mut random, 9) as usize];
            }
            if stream.tenant.is_none() && below(&mut random, 3) == 0 {
                stream.tenant = Some(format!("t{}", below(&mut random, 4)));
                stream.bound_here = true;
            }
            match below(&mut random, 10) {
                0 => stream.tombstoned = true,
                1 => {}
                _ => {
                    let count = below(&mut random, 5) as u32 + 1;
                    stream.runs.push(Run {
                        first_version: stream.version + 1,
                        first_position: position,
                        time: position * 10,
                        frame_offset: 4096 + position * 8,
                        segment: 1,
                        section: 2,
                        section_at: 3,
                        section_len: 4,
                        count,
                    });
                    stream.version += u64::from(count);
                    position += u64::from(count);
                }
            }
            picture.streams.insert(id, Stream::default());
        }
        for (id, stream) in &mut picture.streams {
            *stream = all[id].clone();
        }
        for _ in 0..below(&mut random, changes) {
            let name = name(below(&mut random, 30));
            revision += 1;
            let had = values.get(&name).is_some_and(|revision| *revision > 0);
            let value = if below(&mut random, 3) == 0 { 0 } else { revision };
            values.insert(name.clone(), value);
            let kept = picture.kept.entry(name).or_insert(Kept { had, revision: 0 });
            kept.revision = value;
        }
        picture.kept.retain(|_, kept| kept.had || kept.revision > 0);
        picture.to = position;
        let mark = |position| Mark { position, offset: position * 8, segment: 1 };
        picture.marks = (picture.from..picture.to).step_by(3).map(mark).collect();
        pictures.push(picture);
    }
    pictures
}

impl Picture {
    /// What one layer of both ranges should say.
    fn merged(&self, newer: &Picture) -> Picture {
        let mut merged = Picture { to: newer.to, ..self.clone() };
        merged.marks.extend(&newer.marks);
        for (id, new) in &newer.streams {
            let old = self
                .streams
                .get(id)
                .cloned()
                .unwrap_or(Stream { runs_before: new.runs_before, ..Stream::default() });
            let runs = old.runs.iter().chain(&new.runs).copied().collect();
            let stream = Stream {
                runs,
                runs_before: old.runs_before,
                registered_here: old.registered_here || new.registered_here,
                bound_here: old.bound_here || new.bound_here,
                ..new.clone()
            };
            merged.streams.insert(id.clone(), stream);
        }
        for (name, new) in &newer.kept {
            let had = self.kept.get(name).map_or(new.had, |old| old.had);
            merged.kept.insert(name.clone(), Kept { had, ..*new });
        }
        merged.kept.retain(|_, kept| kept.had || kept.revision > 0);
        merged
    }

    fn tenants(&self) -> BTreeSet<&String> {
        self.streams.values().filter_map(|stream| stream.tenant.as_ref()).collect()
    }

    fn bindings(&self, tenant: &str) -> Vec<(u64, String)> {
        let own = self.streams.iter().filter(|(_, s)| s.bound_here && s.tenant.as_deref() == Some(tenant));
        let mut own: Vec<_> = own.map(|(id, stream)| (stream.ordinal, id.clone())).collect();
        own.sort();
        own
    }

    fn write(&self, storage: &dyn Storage, number: u64) {
        let sizes = Sizes {
            streams: self.streams.len() as u64,
            stream_bytes: self.streams.len() as u64 * 600,
            runs: 10_000,
            kept: self.kept.len() as u64,
            kept_bytes: self.kept.len() as u64 * 600,
            tenants: 10,
            tenant_bytes: 1000,
            bindings: 1000,
            marks: 10_000,
            frames: 100,
        };
        let mut writer = LayerWriter::new(storage, INDEX_TEMPORARY, number, &sizes, &nothing).unwrap();
        let tenants: Vec<_> = self.tenants().into_iter().collect();
        for tenant in &tenants {
            let bindings = self
                .bindings(tenant)
                .into_iter()
                .map(|(creation_ordinal, id)| Ok(Binding { creation_ordinal, hash: xxh3_64(id.as_bytes()) }));
            writer.tenant(tenant, xxh3_64(tenant.as_bytes()), bindings).unwrap();
        }
        for (id, stream) in &self.streams {
            stream.runs.iter().for_each(|run| writer.run(*run).unwrap());
            let tenant =
                stream.tenant.as_ref().and_then(|tenant| tenants.iter().position(|of| *of == tenant));
            let row = StreamRow {
                id,
                hash: xxh3_64(id.as_bytes()),
                attributes: &stream.attributes,
                tombstoned: stream.tombstoned,
                registered_here: stream.registered_here,
                bound_here: stream.bound_here,
                tenant: tenant.map_or(0, |at| at as u32 + 1),
                version: stream.version,
                first_kept: 1,
                created: stream.created,
                last_append: stream.runs.last().map_or(0, |run| run.time),
                creation_ordinal: stream.ordinal,
                last_position: 0,
                first_run: 0,
                runs: stream.runs.len() as u32,
                runs_before: stream.runs_before,
                first_version: stream.runs.first().map_or(0, |run| run.first_version),
            };
            writer.stream(row).unwrap();
        }
        for (name, kept) in &self.kept {
            let row = KeptRow {
                name,
                hash: xxh3_64(name.as_bytes()),
                has_value: kept.revision > 0,
                had_value: kept.had,
                revision: kept.revision,
                offset: 8,
                segment: 1,
                len: 2,
                id_checksum: 3,
            };
            writer.kept(&row).unwrap();
        }
        self.marks.iter().for_each(|mark| writer.mark(*mark).unwrap());
        (0..3).for_each(|i| writer.frame(FrameSums { frame: i, body: self.to as u32 }).unwrap());
        let range = Range {
            log_id: Uuid::from_u128(1),
            from: Location { segment: 1, offset: 4096 + self.from * 8 },
            to: Location { segment: 1, offset: 4096 + self.to * 8 },
            to_salt: 5,
            chain: Chain { next_position: self.to, ..Chain::default() },
            first_position: self.from,
            last_revision: 7,
            last_creation: 8,
            frames: 9,
            events: 10,
            last_frame: 11,
        };
        writer.finish(storage, &range).unwrap();
    }

    /// Compares everything that a layer can be asked. `Err` only for what the layer itself calls damage.
    fn compare(&self, layer: &Layer) -> Result<(), Damage> {
        for i in 0..45 {
            let id = name(i);
            let hash = xxh3_64(id.as_bytes());
            let found = layer.stream(&id, hash, |row| {
                let seen = Stream {
                    tenant: None,
                    version: row.version,
                    created: row.created,
                    ordinal: row.creation_ordinal,
                    attributes: row.attributes.to_vec(),
                    tombstoned: row.tombstoned,
                    runs: Vec::new(),
                    runs_before: row.runs_before,
                    registered_here: row.registered_here,
                    bound_here: row.bound_here,
                };
                (seen, row.tenant, row.first_run, row.runs, row.first_version)
            })?;
            let Some((seen, tenant, first_run, runs, first_version)) = found else {
                assert!(!self.streams.contains_key(&id), "{id} is not found");
                continue;
            };
            let mut seen = Stream { tenant: layer.tenant_name(tenant)?, ..seen };
            layer.runs(first_run, runs.into(), &mut seen.runs)?;
            assert_eq!(Some(&seen), self.streams.get(&id), "{id}");
            let runs = u64::from(runs);
            for version in 0..=seen.version + 1 {
                let at = layer.run_at((first_run, runs), first_version..=seen.version, version)?;
                let plain = seen.runs.partition_point(|run| run.last_version() < version);
                assert_eq!(at, first_run + plain as u64, "{id} {version}");
            }
            let at = layer.run_at_position(first_run, runs, self.to / 2)?;
            let plain = seen.runs.partition_point(|run| run.last_position() < self.to / 2);
            assert_eq!(at, first_run + plain as u64);
            if let Some(first) = seen.runs.first() {
                assert_eq!((first_version, layer.run(first_run)?), (first.first_version, *first));
            }
            let kept = layer.kept(&id, hash, |row| Kept { had: row.had_value, revision: row.revision })?;
            assert_eq!(kept.as_ref(), self.kept.get(&id), "kept {id}");
        }
        let new: Vec<&String> =
            self.streams.iter().filter(|(_, s)| s.registered_here).map(|(id, _)| id).collect();
        let listed: Result<Vec<String>, Damage> =
            (0..layer.registered()).map(|at| layer.registered_at(at, |row| row.id.to_owned())).collect();
        assert_eq!(listed?.iter().collect::<Vec<_>>(), new);
        let names: Vec<&String> = self.kept.keys().collect();
        let listed: Result<Vec<String>, Damage> =
            (0..layer.kept_count()).map(|at| layer.kept_at(at, |row| row.name.to_owned())).collect();
        assert_eq!(listed?.iter().collect::<Vec<_>>(), names);
        for id in ["", "k", "k/", "k/0010", "zz"] {
            let behind = |name: &&&String| name.as_str() <= id;
            assert_eq!(layer.registered_from(|other| other <= id)?, new.iter().filter(behind).count() as u64);
            let before = |name: &&&String| name.as_str() < id;
            assert_eq!(layer.kept_from(|other| other < id)?, names.iter().filter(before).count() as u64);
            let balance = |kept: &Kept| i64::from(kept.revision > 0) - i64::from(kept.had);
            let sum: i64 = self.kept.range(..id.to_owned()).map(|(_, kept)| balance(kept)).sum();
            assert_eq!(layer.kept_balance(layer.kept_from(|other| other < id)?)?, sum, "{id}");
        }
        let tenants: Vec<String> = self.tenants().into_iter().cloned().collect();
        let listed: Result<Vec<String>, Damage> =
            (0..layer.tenants()).map(|at| layer.tenant_at(at, |row| row.name.to_owned())).collect();
        assert_eq!(listed?, tenants);
        for tenant in tenants.iter().map(|tenant| &**tenant).chain(["none", "t", "zz"]) {
            let (first, count) = layer.bindings(tenant)?;
            let mut own = Vec::new();
            for at in first..first + count {
                let binding = layer.binding(at)?;
                own.push((binding.creation_ordinal, layer.bound(binding)?));
            }
            assert_eq!(own, self.bindings(tenant), "{tenant}");
        }
        let marks = &self.marks;
        for position in [0, self.from, self.from + 4, self.to, u64::MAX] {
            let around = layer.marks_around(|mark| mark.position <= position)?;
            let at = marks.partition_point(|mark| mark.position <= position);
            let plain = (at.checked_sub(1).map(|at| marks[at]), marks.get(at).copied());
            assert_eq!(around, plain, "{position}");
        }
        Ok(())
    }
}

fn open(storage: &dyn Storage, number: u64) -> Layer {
    Layer::open(storage, number, ReadMode::Map).unwrap()
}

/// What is done while layers are merged.
fn nothing() -> Result<(), MakeError> {
    Ok(())
}

fn opened(storage: &dyn Storage, numbers: &[u64]) -> Vec<Arc<Layer>> {
    numbers.iter().map(|number| Arc::new(open(storage, *number))).collect()
}

#[test]
fn a_layer_says_what_it_was_made_of() {
    for seed in 0..30 {
        let memory = Memory::new();
        for (i, picture) in (1..).zip(history(seed, 3, 60)) {
            picture.write(&memory, i);
            picture.compare(&open(&memory, i)).unwrap();
        }
    }
}

#[test]
fn layers_merged_in_any_grouping_say_what_one_would() {
    for seed in 0..30 {
        let memory = Memory::new();
        let pictures = history(seed, 4, 50);
        for (i, picture) in (1..).zip(&pictures) {
            picture.write(&memory, i);
        }
        let mut number = 10;
        let mut merged = |old: u64, new: u64, pictures: (&Picture, &Picture)| {
            number += 1;
            merge(&memory, number, &opened(&memory, &[old, new]), &nothing).unwrap();
            let picture = pictures.0.merged(pictures.1);
            picture.compare(&open(&memory, number)).unwrap();
            (number, picture)
        };
        let [a, b, c, d] = &pictures[..] else { panic!() };
        let (ab, ab_picture) = merged(1, 2, (a, b));
        let (cd, cd_picture) = merged(3, 4, (c, d));
        let (abcd, abcd_picture) = merged(ab, cd, (&ab_picture, &cd_picture));
        let (bc, bc_picture) = merged(2, 3, (b, c));
        let (abc, abc_picture) = merged(1, bc, (a, &bc_picture));
        let (other, _) = merged(abc, 4, (&abc_picture, d));
        merge(&memory, 90, &opened(&memory, &[1, 2, 3, 4]), &nothing).unwrap();
        let (one, two, at_once) = (open(&memory, abcd), open(&memory, other), open(&memory, 90));
        abcd_picture.compare(&at_once).unwrap();
        let plain = |layer: &Layer| {
            let header = layer.header();
            let weights: Vec<_> = header.parts.iter().map(|part| (part.len, part.count)).collect();
            (header.from, header.to, header.chain, header.first_position, weights)
        };
        assert_eq!(plain(&one), plain(&two));
        assert_eq!(plain(&one), plain(&at_once));
        assert!(pictures[0].kept.values().all(|kept| !kept.had), "the oldest has nothing before it");
        let gone = (0..one.kept_count()).filter(|at| !one.kept_at(*at, |row| row.has_value).unwrap());
        assert_eq!(gone.count(), 0, "what came and went leaves nothing");
    }
}

/// Whatever byte is wrong: a question is answered rightly or not at all.
#[test]
fn damage_is_told_and_never_believed() {
    let memory = Memory::new();
    let pictures = history(7, 2, 60);
    pictures[0].write(&memory, 1);
    pictures[1].write(&memory, 2);
    merge(&memory, 3, &opened(&memory, &[1, 2]), &nothing).unwrap();
    let picture = pictures[0].merged(&pictures[1]);
    let file = memory.open(&index_name(3), true).unwrap();
    let len = file.len().unwrap();
    let mut told = 0;
    for at in 0..len {
        let mut byte = [0];
        file.read_at(at, &mut byte).unwrap();
        file.write_at(at, &[byte[0] ^ 1 << (at % 8)]).unwrap();
        let answer = Layer::open(&memory, 3, ReadMode::Map).and_then(|layer| picture.compare(&layer));
        told += u64::from(answer.is_err());
        file.write_at(at, &byte).unwrap();
    }
    assert!(told > len / 4, "{told} of {len} bytes matter");
    picture.compare(&open(&memory, 3)).unwrap();
}

#[test]
fn a_file_that_is_cut_or_missing_is_damage() {
    let memory = Memory::new();
    let pictures = history(1, 2, 60);
    pictures[0].write(&memory, 1);
    let file = memory.open(&index_name(1), false).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_at(0, &mut bytes).unwrap();
    let end = open(&memory, 1).header().end() as usize;
    for len in [0, 1, 4095, 4096, end / 2, end - 1] {
        memory.create(&index_name(2)).unwrap().write_at(0, &bytes[..len]).unwrap();
        assert!(Layer::open(&memory, 2, ReadMode::Map).is_err(), "{len} of {end}");
        memory.remove(&index_name(2)).unwrap();
    }
    assert_eq!(Layer::open(&memory, 2, ReadMode::Map).unwrap_err().number(), 2);
    memory.create(&index_name(9)).unwrap().write_at(0, &bytes).unwrap();
    assert!(Layer::open(&memory, 9, ReadMode::Map).is_err(), "it has another number");
}

#[test]
fn runs_that_a_file_does_not_have_are_damage_to_who_reads_or_copies_them() {
    let memory = Memory::new();
    history(3, 2, 60).iter().zip(1..).for_each(|(picture, number)| picture.write(&memory, number));
    let layer = open(&memory, 2);
    let (file, rows) = (&layer.file, layer.header().part(Part::Streams));
    // The last one: behind its runs there are none.
    let next = |at: &u64| Some(at + file.row(Part::Streams, *at).unwrap().len() as u64);
    let last = std::iter::successors(Some(0), |at| next(at).filter(|at| *at < rows.len)).last().unwrap();
    let raw = file.row(Part::Streams, last).unwrap();
    let row: StreamRow<'_> = file.decoded(Part::Streams, last, &raw).unwrap();
    let (at, mut forged) = (rows.offset + last, Vec::new());
    for (more, is_damage) in [(0, false), (1, true)] {
        let (runs, first) = (row.runs + more, row.first_run);
        forged.clear();
        encode(&StreamRow { runs, ..row }, layer.header().salt, at, &mut forged);
        memory.open(&index_name(2), true).unwrap().write_at(at, &forged).unwrap();
        let (more, runs) = (u64::from(more), u64::from(runs));
        assert_eq!(file.entry::<Run>(Part::Runs, first + runs - 1).is_err(), is_damage);
        assert_eq!(layer.runs(first, runs, &mut Vec::new()).is_err(), is_damage);
        let result = merge(&memory, 3 + more, &opened(&memory, &[1, 2]), &nothing);
        assert_eq!(matches!(result, Err(MakeError::Damage(_))), is_damage, "{more} too many: {result:?}");
    }
}

#[test]
fn a_file_that_nobody_wants_any_more_is_not_finished() {
    let memory = Memory::new();
    history(3, 2, 60).iter().zip(1..).for_each(|(picture, number)| picture.write(&memory, number));
    let made = merge(&memory, 3, &opened(&memory, &[1, 2]), &|| Err(MakeError::Stopped));
    assert_eq!(made, Err(MakeError::Stopped));
    assert!(!memory.list().unwrap().contains(&index_name(3)));
    // What it left is out of the way of the next one.
    merge(&memory, 3, &opened(&memory, &[1, 2]), &nothing).unwrap();
}

/// Much merging does not keep what is small waiting.
#[test]
fn others_are_made_while_layers_are_merged() {
    const BLOCK: u64 = 256 << 10;
    let memory = Memory::new();
    let of_crowd = |i: u64| Stream { ordinal: i + 1, registered_here: true, ..Stream::default() };
    let streams = (0..10_000).map(|i| (format!("{i:06}"), of_crowd(i))).collect();
    let crowd = Picture { from: 1, to: 1, streams, ..Picture::default() };
    let small = history(5, 1, 60).remove(0);
    crowd.write(&memory, 1);
    small.write(&memory, 2);
    let made = Cell::new(10);
    let make_one = || {
        small.write(&memory, made.replace(made.get() + 1));
        Ok(())
    };
    merge(&memory, 3, &opened(&memory, &[1, 2]), &make_one).unwrap();
    let merged = open(&memory, 3);
    assert!(made.get() - 10 >= merged.header().weight() / BLOCK, "at each block: {}", made.get() - 10);
    crowd.merged(&small).compare(&merged).unwrap();
    (10..made.get()).for_each(|number| small.compare(&open(&memory, number)).unwrap());
}
