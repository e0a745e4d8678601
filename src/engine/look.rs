//! Asking the index.
//!
//! Owns the short way to a stream's state, which holds the view's lock no longer than it looks into memory, unless a part in
//! memory speaks of the stream; and the rule that a question which meets damage is asked again once the index is mended.

use crate::engine::shared::Shared;
use crate::engine::view::{Segments, View};
use crate::error::ReadError;
use crate::index::state::StreamState;
use crate::index::streams::{TOGETHER, hash_of, prefetch_in, state_in, version_in};
use crate::index::versions::Known;
use crate::index::{Index, Looked};
use crate::layer::Layer;
use smallvec::SmallVec;
use std::sync::Arc;

impl Shared {
    /// Looks until what is looked at is sound. `look` holds no lock while this mends.
    pub(crate) fn sound<T>(&self, mut look: impl FnMut() -> Looked<T>) -> T {
        loop {
            match look() {
                Ok(found) => return found,
                Err(damage) => self.mend(&damage),
            }
        }
    }

    /// Asks a question of the view, under its lock.
    pub(crate) fn ask<T>(&self, mut question: impl FnMut(&View) -> Looked<T>) -> T {
        self.sound(|| question(&self.view.read()))
    }

    /// The same; or why the index cannot say all that the log says.
    pub(crate) fn ask_whole<T>(&self, mut question: impl FnMut(&View) -> Looked<T>) -> Result<T, ReadError> {
        self.sound(|| {
            let view = self.view.read();
            match &view.broken {
                Some(error) => Ok(Err(error.clone())),
                None => question(&view).map(Ok),
            }
        })
    }

    /// The version of a stream; 0 if nobody knows it.
    #[inline]
    pub(crate) fn version(&self, id: &str) -> u64 {
        let hash = hash_of(id);
        match self.versions.version(id, hash) {
            Known::Version(version) => version,
            Known::Nothing { again } => self.sound(|| self.look_for_version(id, hash, again)),
        }
    }

    /// The version of a stream, by the index; kept in sight if it is asked for again and again.
    fn look_for_version(&self, id: &str, hash: u64, keep: bool) -> Looked<u64> {
        let layers = {
            let view = self.view.read();
            // On their way while memory is asked.
            view.index.layers.iter().for_each(|layer| layer.prefetch(hash));
            if let Some(entry) = view.index.entry(id, hash) {
                if keep {
                    self.versions.keep(id, hash, entry.state.version);
                }
                return Ok(entry.state.version);
            }
            view.index.layers.clone()
        };
        // A page of the file may have to come from the disk: not under a lock.
        let version = version_in(&layers, id, hash)?;
        if keep {
            let view = self.view.read();
            if view.index.entry(id, hash).is_none() && Arc::ptr_eq(&view.index.layers, &layers) {
                self.versions.keep(id, hash, version);
            }
        }
        Ok(version)
    }

    /// The versions of streams, in their order; 0 for those that nobody knows.
    pub(crate) fn versions<S: AsRef<str>>(&self, ids: &[S]) -> Vec<u64> {
        let mut versions = Vec::with_capacity(ids.len());
        for group in ids.chunks(TOGETHER) {
            let hashed = group.iter().map(|id| (id.as_ref(), hash_of(id.as_ref())));
            let hashed: SmallVec<[_; TOGETHER]> = hashed.collect();
            let found = self.sound(|| self.look_for_versions(&hashed));
            versions.extend(found.into_iter().map(Option::unwrap_or_default));
        }
        versions
    }

    /// The versions of a few streams, by the index. What memory has to bring for one is on its way while others are asked for.
    fn look_for_versions(&self, ids: &[(&str, u64)]) -> Looked<SmallVec<[Option<u64>; TOGETHER]>> {
        let (mut versions, layers) = {
            let view = self.view.read();
            let entries = ids.iter().map(|(id, hash)| view.index.entry(id, *hash));
            let versions = entries.map(|entry| entry.map(|entry| entry.state.version));
            (versions.collect::<SmallVec<[_; TOGETHER]>>(), view.index.layers.clone())
        };
        // Pages of the files may have to come from the disk: not under a lock.
        let sought = ids.iter().zip(&versions).filter(|(_, known)| known.is_none());
        prefetch_in(&layers, sought.map(|((_, hash), _)| *hash));
        for ((id, hash), version) in ids.iter().zip(&mut versions).filter(|(_, known)| known.is_none()) {
            *version = Some(version_in(&layers, id, *hash)?);
        }
        Ok(versions)
    }

    /// The state of a registered stream.
    pub(crate) fn state(&self, id: &str, hash: u64) -> Option<StreamState> {
        self.stream(id, hash, |_, state| Ok(state.clone()), |layers| state_in(layers, id, hash)).0
    }

    /// What is asked of a registered stream, by its state in memory or, if that is nowhere there, by the layers; and the segments
    /// that hold all that either speaks of.
    pub(crate) fn stream<T>(
        &self,
        id: &str,
        hash: u64,
        in_memory: impl Fn(&Index, &StreamState) -> Looked<T>,
        in_files: impl Fn(&[Arc<Layer>]) -> Looked<Option<T>>,
    ) -> (Option<T>, Segments) {
        self.sound(|| {
            let (layers, segments) = {
                let view = self.view.read();
                let segments = view.segments.clone();
                // It may have more events than the index could be told of.
                if view.broken.is_some() {
                    return Ok((None, segments));
                }
                match view.index.entry(id, hash) {
                    Some(entry) => return Ok((Some(in_memory(&view.index, &entry.state)?), segments)),
                    None if view.index.layers.is_empty() => return Ok((None, segments)),
                    None => (view.index.layers.clone(), segments),
                }
            };
            Ok((in_files(&layers)?, segments))
        })
    }

    /// Whether a stream is bound to a tenant.
    pub(crate) fn is_of_tenant(&self, id: &str, tenant: &str) -> bool {
        self.ask(|view| view.index.is_of_tenant(id, tenant))
    }
}
