//! Making an index file.
//!
//! Owns the order of the parts and the steps that make the file durable before it has its name. What goes into it comes in
//! the order of FORMAT.md section 13: tenants, then streams with their runs, then kept values; marks and frames at any time.

use crate::error::IoFault;
use crate::format::cell::{Binding, FrameSums, KeptAt, Mark, RowAt, Run, Slot};
use crate::format::frame::Chain;
use crate::format::layer::{LayerHeader, PARTS, Part, PartPlace};
use crate::format::row::{KeptRow, Row, StreamRow, TenantRow, encode};
use crate::layer::part::{Cells, Draft, Plan, Rows};
use crate::layer::{MakeError, Meanwhile, buckets};
use crate::segment::name::index_name;
use crate::storage::Storage;
use crate::types::Location;
use std::io;
use uuid::Uuid;

/// How much there is at most of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Sizes {
    pub(crate) streams: u64,
    pub(crate) stream_bytes: u64,
    pub(crate) runs: u64,
    pub(crate) kept: u64,
    pub(crate) kept_bytes: u64,
    pub(crate) tenants: u64,
    pub(crate) tenant_bytes: u64,
    pub(crate) bindings: u64,
    pub(crate) marks: u64,
    pub(crate) frames: u64,
}

/// The range of the log that a layer covers, and how the log stands at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) log_id: Uuid,
    pub(crate) from: Location,
    pub(crate) to: Location,
    pub(crate) to_salt: u64,
    pub(crate) chain: Chain,
    pub(crate) first_position: u64,
    pub(crate) last_revision: u64,
    pub(crate) last_creation: u64,
    /// Of the last segment, up to the end of the range.
    pub(crate) frames: u64,
    pub(crate) events: u64,
    /// Where the last of those frames stands; 0 if the segment is sealed.
    pub(crate) last_frame: u64,
}

impl Range {
    /// A range that ends at a place of a sealed segment. What the index counts is left out.
    pub(crate) fn sealed(log_id: Uuid, to: Location, to_salt: u64, chain: Chain) -> Range {
        Range {
            log_id,
            from: to,
            to,
            to_salt,
            chain,
            first_position: 0,
            last_revision: 0,
            last_creation: 0,
            frames: 0,
            events: 0,
            last_frame: 0,
        }
    }
}

/// An index file in the making. Dropped before it is finished, it leaves a temporary file.
pub(crate) struct LayerWriter<'m> {
    draft: Draft<'m>,
    number: u64,
    marks: Cells<Mark>,
    streams: Rows,
    stream_buckets: u64,
    stream_order: Cells<RowAt>,
    runs: Cells<Run>,
    kept: Rows,
    kept_buckets: u64,
    kept_order: Cells<KeptAt>,
    balance: i64,
    tenants: Rows,
    tenant_order: Cells<RowAt>,
    bindings: Cells<Binding>,
    frames: Cells<FrameSums>,
}

fn fault(operation: &'static str, name: &'static str) -> impl Fn(io::Error) -> MakeError {
    move |error| MakeError::Io(IoFault::new(operation, name, &error))
}

impl<'m> LayerWriter<'m> {
    /// `temporary` is what the file is called until it is whole.
    pub(crate) fn new(
        storage: &dyn Storage,
        temporary: &'static str,
        number: u64,
        sizes: &Sizes,
        meanwhile: Meanwhile<'m>,
    ) -> Result<LayerWriter<'m>, MakeError> {
        if sizes.stream_bytes.max(sizes.kept_bytes) > Slot::OFFSET_MAX {
            return Err(MakeError::TooLarge);
        }
        match storage.remove(temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(fault("remove", temporary)(error));
            }
            _ => {}
        }
        let file = storage.create(temporary).map_err(fault("create", temporary))?;
        let (salt, _) = Uuid::new_v4().as_u64_pair();
        let mut plan = Plan::new();
        Ok(LayerWriter {
            number,
            marks: Cells::new(&mut plan, sizes.marks),
            streams: Rows::new(plan.place(sizes.stream_bytes)),
            stream_buckets: buckets::place(&mut plan, sizes.streams),
            stream_order: Cells::new(&mut plan, sizes.streams),
            runs: Cells::new(&mut plan, sizes.runs),
            kept: Rows::new(plan.place(sizes.kept_bytes)),
            kept_buckets: buckets::place(&mut plan, sizes.kept),
            kept_order: Cells::new(&mut plan, sizes.kept),
            balance: 0,
            tenants: Rows::new(plan.place(sizes.tenant_bytes)),
            tenant_order: Cells::new(&mut plan, sizes.tenants),
            bindings: Cells::new(&mut plan, sizes.bindings),
            frames: Cells::new(&mut plan, sizes.frames),
            draft: Draft { file, name: temporary, salt, block_bytes: plan.block_bytes(), meanwhile },
        })
    }

    pub(crate) fn mark(&mut self, mark: Mark) -> Result<(), MakeError> {
        self.marks.add(&self.draft, mark)
    }

    /// The same for many, as they stand in cells.
    pub(crate) fn copy_marks(&mut self, raw: &[u8]) -> Result<(), MakeError> {
        self.marks.copy(&self.draft, raw)
    }

    pub(crate) fn frame(&mut self, sums: FrameSums) -> Result<(), MakeError> {
        self.frames.add(&self.draft, sums)
    }

    /// The same for many, as they stand in cells.
    pub(crate) fn copy_frames(&mut self, raw: &[u8]) -> Result<(), MakeError> {
        self.frames.copy(&self.draft, raw)
    }

    /// The tenant that comes next in the order of names, with its bindings in the order of creation.
    pub(crate) fn tenant(
        &mut self,
        name: &str,
        hash: u64,
        bindings: impl IntoIterator<Item = Result<Binding, MakeError>>,
    ) -> Result<(), MakeError> {
        let first_binding = self.bindings.count();
        for binding in bindings {
            self.bindings.add(&self.draft, binding?)?;
        }
        let row = TenantRow { name, hash, first_binding, bindings: self.bindings.count() - first_binding };
        let place = RowAt { offset: self.tenants.next() };
        add_row(&mut self.tenants, &self.draft, &row)?;
        self.tenant_order.add(&self.draft, place)
    }

    /// Runs of the stream that comes next.
    pub(crate) fn run(&mut self, run: Run) -> Result<(), MakeError> {
        self.runs.add(&self.draft, run)
    }

    /// The same as they stand in cells.
    pub(crate) fn copy_runs(&mut self, raw: &[u8]) -> Result<(), MakeError> {
        self.runs.copy(&self.draft, raw)
    }

    /// The stream that comes next in the order of ids; its runs were given before. Where they stand is filled in.
    pub(crate) fn stream(&mut self, row: StreamRow<'_>) -> Result<(), MakeError> {
        let row = StreamRow { first_run: self.runs.count() - u64::from(row.runs), ..row };
        let place = RowAt { offset: self.streams.next() };
        add_row(&mut self.streams, &self.draft, &row)?;
        if row.registered_here { self.stream_order.add(&self.draft, place) } else { Ok(()) }
    }

    /// The kept value that comes next in the order of names.
    pub(crate) fn kept(&mut self, row: &KeptRow<'_>) -> Result<(), MakeError> {
        let place = KeptAt { offset: self.kept.next(), balance: self.balance };
        self.balance += i64::from(row.has_value) - i64::from(row.had_value);
        add_row(&mut self.kept, &self.draft, row)?;
        self.kept_order.add(&self.draft, place)
    }

    /// Makes the file durable and gives it its name.
    pub(crate) fn finish(self, storage: &dyn Storage, range: &Range) -> Result<(), MakeError> {
        let LayerWriter { draft, number, .. } = &self;
        let (draft, number) = (draft.clone(), *number);
        let mut parts = [PartPlace::default(); PARTS];
        let mut part = |part: Part, place: PartPlace| parts[part as usize] = place;
        let (streams, kept) = (self.streams.finish(&draft)?, self.kept.finish(&draft)?);
        part(Part::StreamBuckets, buckets::write(&draft, streams, self.stream_buckets)?);
        part(Part::KeptBuckets, buckets::write(&draft, kept, self.kept_buckets)?);
        part(Part::Streams, streams);
        part(Part::Kept, kept);
        part(Part::Marks, self.marks.finish(&draft)?);
        part(Part::StreamOrder, self.stream_order.finish(&draft)?);
        part(Part::Runs, self.runs.finish(&draft)?);
        part(Part::KeptOrder, self.kept_order.finish(&draft)?);
        part(Part::Tenants, self.tenants.finish(&draft)?);
        part(Part::TenantOrder, self.tenant_order.finish(&draft)?);
        part(Part::Bindings, self.bindings.finish(&draft)?);
        part(Part::Frames, self.frames.finish(&draft)?);
        let header = LayerHeader {
            log_id: range.log_id,
            number,
            salt: draft.salt,
            from: range.from,
            to: range.to,
            to_salt: range.to_salt,
            chain: range.chain,
            first_position: range.first_position,
            last_revision: range.last_revision,
            last_creation: range.last_creation,
            frames: range.frames,
            events: range.events,
            last_frame: range.last_frame,
            parts,
        };
        draft.write(0, &header.encode())?;
        draft.file.sync().map_err(fault("sync", draft.name))?;
        storage.rename(draft.name, &index_name(number)).map_err(fault("rename", draft.name))?;
        storage.sync_directory().map_err(fault("sync the directory of", draft.name))
    }
}

fn add_row<'a, R: Row<'a>>(rows: &mut Rows, draft: &Draft<'_>, row: &R) -> Result<(), MakeError> {
    let at = rows.next_in_file();
    rows.add(draft, |out| encode(row, draft.salt, at, out))
}
