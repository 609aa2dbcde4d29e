//! The progress of long work.

/// A function that is called with how much is done and how much there is to do in all.
pub type Progress<'a> = &'a (dyn Fn(u64, u64) + Sync);
