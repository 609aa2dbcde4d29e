//! What goes on while writers and readers are measured: so that each request is counted where it belongs.

use std::sync::atomic::{AtomicUsize, Ordering};

/// What goes on.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Connections open, plans and pages are cached.
    WarmUp,
    /// Nothing but the writers and readers.
    Quiet,
    /// Many rows are changed at once, for the next refresh.
    Change,
    /// What the change held up comes to its end.
    BeforeRefresh,
    /// A refresh.
    Refresh,
    /// A refresh is over.
    AfterRefresh,
}

/// The stages that come again and again after the first two.
const ROUND: [Stage; 4] = [Stage::Change, Stage::BeforeRefresh, Stage::Refresh, Stage::AfterRefresh];

/// One stage after the other, for many tasks to see.
#[derive(Debug, Default)]
pub(crate) struct Stages(AtomicUsize);

/// Which stage it is, counted from the first.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Moment(usize);

/// What a request is counted as.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Counted {
    /// No refresh and no change, all the time.
    Quiet,
    /// A refresh ran for at least a part of it, and no change.
    DuringRefresh,
}

impl Stages {
    /// The next stage begins.
    pub(crate) fn next(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    /// Now.
    pub(crate) fn now(&self) -> Moment {
        Moment(self.0.load(Ordering::SeqCst))
    }
}

impl Moment {
    fn stage(self) -> Stage {
        match self.0 {
            0 => Stage::WarmUp,
            1 => Stage::Quiet,
            later => ROUND[(later - 2) % ROUND.len()],
        }
    }

    /// What a request is counted as that began at this moment and ended at `end`.
    pub(crate) fn until(self, end: Self) -> Option<Counted> {
        let mut refresh = false;
        for moment in self.0..=end.0 {
            match Self(moment).stage() {
                Stage::WarmUp | Stage::Change => return None,
                Stage::Refresh => refresh = true,
                Stage::Quiet | Stage::BeforeRefresh | Stage::AfterRefresh => {}
            }
        }
        match self.stage() {
            _ if refresh => Some(Counted::DuringRefresh),
            Stage::Quiet => Some(Counted::Quiet),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_counted_where_it_belongs() {
        let counted = |begin, end| Moment(begin).until(Moment(end));
        assert_eq!(counted(0, 1), None, "in the warm-up");
        assert_eq!(counted(1, 1), Some(Counted::Quiet));
        assert_eq!(counted(1, 2), None, "the change began");
        assert_eq!(counted(2, 4), None, "the change held it up");
        assert_eq!(counted(3, 3), None, "between");
        for (begin, end) in [(3, 4), (4, 4), (3, 5), (4, 5), (8, 8)] {
            assert_eq!(counted(begin, end), Some(Counted::DuringRefresh), "{begin} to {end}");
        }
        assert_eq!(counted(4, 6), None, "the next change began");
    }
}
