//! What index files spare a recovery: the part of the log that they speak of.
//!
//! Owns finding them, and the checks that they are of this log and follow each other. Whatever is wrong with one is a reason to
//! do without them, never to refuse the log.

use crate::engine::inventory::Inventory;
use crate::engine::report::IndexUse;
use crate::error::Fault;
use crate::format::FIRST_FRAME;
use crate::format::bytes::expect;
use crate::format::cell::{Entry, FrameSums};
use crate::format::checkpoint::Checkpoint;
use crate::format::frame::Chain;
use crate::layer::{Damage, Layer};
use crate::options::Options;
use crate::storage::Storage;
use crate::types::{Location, ReadMode};
use std::sync::Arc;

/// Where the index files end, and how the log stands there.
#[derive(Debug, Clone)]
pub(crate) struct Covered {
    pub(crate) number: u64,
    pub(crate) to: Location,
    pub(crate) to_salt: u64,
    pub(crate) chain: Chain,
    pub(crate) events: u64,
    pub(crate) last_frame: u64,
    /// The checksums of all frames of the segment that it ends in, as a digest takes them in.
    pub(crate) frames: Vec<u8>,
}

/// Opens the index files that a checkpoint names.
fn open_layers(
    storage: &dyn Storage,
    checkpoint: &Checkpoint,
    mode: ReadMode,
) -> Result<Vec<Arc<Layer>>, Damage> {
    let mut layers: Vec<Arc<Layer>> = Vec::new();
    let mut from = Location { segment: 1, offset: FIRST_FRAME };
    for named in &checkpoint.layers {
        let layer = Layer::open(storage, named.number, mode)?;
        let header = layer.header();
        let wrong = |fault| Damage::new(named.number, 0, fault);
        expect("whether it is the one that the checkpoint names", named.sum, layer.sum()).map_err(wrong)?;
        let of_log = header.log_id == checkpoint.log_id;
        expect("whether the index file is of this log", 1, u64::from(of_log)).map_err(wrong)?;
        expect("whether it follows the one before", 1, u64::from(header.from == from)).map_err(wrong)?;
        from = header.to;
        layers.push(Arc::new(layer));
    }
    Ok(layers)
}

impl Covered {
    fn of(layers: &[Arc<Layer>]) -> Result<Option<Covered>, Damage> {
        let Some(last) = layers.last() else { return Ok(None) };
        let header = last.header();
        let frames = last.frames()?;
        let wrong = |fault| Damage::new(header.number, 0, fault);
        let counted = header.last_frame == 0 || header.frames == (frames.len() / FrameSums::BYTES) as u64;
        expect("whether all frames are there", 1, u64::from(counted)).map_err(wrong)?;
        Ok(Some(Covered {
            number: header.number,
            to: header.to,
            to_salt: header.to_salt,
            chain: header.chain,
            events: header.events,
            last_frame: header.last_frame,
            frames,
        }))
    }
}

/// The index files that recovery may rely on.
pub(crate) struct IndexFiles {
    pub(crate) layers: Vec<Arc<Layer>>,
    pub(crate) covered: Option<Covered>,
    pub(crate) next_number: u64,
    pub(crate) used: IndexUse,
}

impl IndexFiles {
    pub(crate) fn find(
        storage: &dyn Storage,
        options: &Options,
        checkpoint: &Option<Result<Checkpoint, Fault>>,
        ordinals: &[u64],
        inventory: &Inventory,
    ) -> IndexFiles {
        let named = checkpoint.as_ref().and_then(|checkpoint| checkpoint.as_ref().ok());
        let numbers =
            named.into_iter().flat_map(|checkpoint| checkpoint.layers.iter().map(|layer| layer.number));
        let next_number =
            numbers.chain(inventory.indexes.iter().copied()).max().unwrap_or(0).saturating_add(1);
        let none = IndexFiles { layers: Vec::new(), covered: None, next_number, used: IndexUse::Missing };
        let Some(checkpoint) = named.filter(|checkpoint| !checkpoint.layers.is_empty()) else { return none };
        let layers = open_layers(storage, checkpoint, options.read_mode);
        let found = layers.and_then(|layers| Covered::of(&layers).map(|covered| (layers, covered)));
        match found {
            Err(damage) => none.without(&damage),
            Ok((layers, Some(covered))) if ordinals.first() == Some(&1) => {
                let position = covered.chain.next_position.saturating_sub(1);
                let used = IndexUse::Covers { position };
                IndexFiles { layers, covered: Some(covered), next_number, used }
            }
            Ok(_) => none,
        }
    }

    pub(crate) fn without(&self, damage: &Damage) -> IndexFiles {
        let used = IndexUse::Damaged { file: damage.number() };
        IndexFiles { layers: Vec::new(), covered: None, next_number: self.next_number, used }
    }
}
