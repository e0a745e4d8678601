//! A frozen part of the index, made into a layer.
//!
//! Owns what a layer's rows must say beyond what the part knows: the whole state of each stream, completed from older layers.
//! Works beside readers and the writer; nothing that it looks at changes.

use crate::format::cell::Binding;
use crate::format::row::{KeptRow, StreamRow};
use crate::index::Frozen;
use crate::index::overlay::Entry;
use crate::index::runs::runs_in;
use crate::index::streams::{details_in, hash_of};
use crate::layer::{Layer, LayerWriter, MakeError, Meanwhile, Sizes};
use crate::segment::name::INDEX_TEMPORARY;
use crate::storage::Storage;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Most bytes of a row beside its name, rounded up.
const ROW_BYTES: u64 = 112 + crate::format::ATTRIBUTES_BYTES_MAX as u64;

/// Writes the layer of a frozen part, which follows these layers.
pub(crate) fn build(
    storage: &dyn Storage,
    number: u64,
    frozen: &Frozen,
    older: &[Arc<Layer>],
    meanwhile: Meanwhile<'_>,
) -> Result<(), MakeError> {
    let Frozen { overlay, frames, .. } = frozen;
    let mut entries: Vec<&Entry> = overlay.entries.iter().collect();
    entries.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    // Tenants by name, with the numbers that the rows of streams will give them.
    let mut tenants: BTreeMap<&str, u32> = BTreeMap::new();
    for tenant in entries.iter().filter_map(|entry| entry.state.tenant.as_deref()) {
        tenants.insert(tenant, 0);
    }
    (1..).zip(tenants.values_mut()).for_each(|(number, tenant)| *tenant = number);
    let bytes = |names: &mut dyn Iterator<Item = &str>| names.map(|name| name.len() as u64 + ROW_BYTES).sum();
    let sizes = Sizes {
        streams: entries.len() as u64,
        stream_bytes: bytes(&mut entries.iter().map(|entry| &*entry.id)),
        runs: overlay.runs,
        kept: overlay.kept.len() as u64,
        kept_bytes: bytes(&mut overlay.kept.keys().map(|name| &**name)),
        tenants: tenants.len() as u64,
        tenant_bytes: bytes(&mut tenants.keys().copied()),
        bindings: overlay.bound.values().map(|streams| streams.len() as u64).sum(),
        marks: overlay.marks.all().len() as u64,
        frames: frames.len() as u64,
    };
    let mut writer = LayerWriter::new(storage, INDEX_TEMPORARY, number, &sizes, meanwhile)?;
    overlay.marks.all().iter().try_for_each(|mark| writer.mark(*mark))?;
    frames.iter().try_for_each(|sums| writer.frame(*sums))?;
    for tenant in tenants.keys() {
        let bound = overlay.bound.get(*tenant).map_or(&[][..], |streams| streams);
        let bindings = bound.iter().map(|(creation_ordinal, number)| {
            let hash = overlay.entries.get(*number as usize).map_or(0, |entry| entry.hash);
            Ok(Binding { creation_ordinal: *creation_ordinal, hash })
        });
        writer.tenant(tenant, hash_of(tenant), bindings)?;
    }
    for entry in entries {
        entry.runs.iter().try_for_each(|run| writer.run(*run))?;
        let tenant = entry.state.tenant.as_deref().and_then(|tenant| tenants.get(tenant)).copied();
        let bound_here = entry.state.tenant.as_ref().and_then(|tenant| overlay.bound.get(tenant));
        let ordinal = entry.state.creation_ordinal;
        let bound_here = bound_here
            .is_some_and(|streams| streams.binary_search_by_key(&ordinal, |(ordinal, _)| *ordinal).is_ok());
        write_stream(&mut writer, entry, tenant.unwrap_or(0), bound_here, older)?;
    }
    for (name, kept) in &overlay.kept {
        let place = kept.place;
        writer.kept(&KeptRow {
            name,
            hash: hash_of(name),
            has_value: place.is_some(),
            had_value: kept.had_value,
            revision: place.map_or(0, |place| place.revision),
            offset: place.map_or(0, |place| place.offset),
            segment: place.map_or(0, |place| place.segment),
            len: place.map_or(0, |place| place.len),
            id_checksum: place.map_or(0, |place| place.id_checksum),
        })?;
    }
    writer.finish(storage, &frozen.range)
}

fn write_stream(
    writer: &mut LayerWriter<'_>,
    entry: &Entry,
    tenant: u32,
    bound_here: bool,
    older: &[Arc<Layer>],
) -> Result<(), MakeError> {
    let Entry { id, hash, state, last_append, origin, runs } = entry;
    let known = if origin.is_none() { details_in(older, id, *hash)? } else { None };
    let runs_before = if origin.is_none() { runs_in(older, id, *hash)? } else { 0 };
    let (known_origin, known_append) = match &known {
        Some(details) => (Some(&details.origin), details.last_append),
        None => (None, 0),
    };
    let origin = origin.as_ref().or(known_origin);
    writer.stream(StreamRow {
        id,
        hash: *hash,
        attributes: origin.map_or(&[], |origin| &origin.attributes),
        tombstoned: state.tombstoned,
        registered_here: entry.origin.is_some(),
        bound_here,
        tenant,
        version: state.version,
        first_kept: state.first_kept,
        created: origin.map_or(0, |origin| origin.created),
        last_append: known_append.max(*last_append),
        creation_ordinal: state.creation_ordinal,
        last_position: state.last_position,
        first_run: 0,
        runs: runs.len() as u32,
        // Whether there are any is what matters.
        runs_before: u32::try_from(runs_before).unwrap_or(u32::MAX),
        first_version: runs.first().map_or(0, |run| run.first_version),
    })
}
