//! What fails, drawn from a seed.

use std::ops::Range;

use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// Every connection to the database is reset.
    Cut,
    /// A commit succeeds, and its connection is reset before anybody learns of it.
    LoseCommit,
    /// The network takes everything and delivers nothing, until so many were told that it can't be recorded. Then it
    /// delivers what it has, or resets the connections.
    Stall { told: u64, cut: bool },
    /// The database ends connections: one that is committing, or all.
    Terminate { committing: bool },
    /// The database crashes; it is started again when so many were told that it can't be recorded, or when a process of
    /// the service was killed too.
    StopDatabase { told: u64, kill: Option<usize> },
    /// A process of the service is killed.
    Kill(usize),
}

/// The same numbers for the same seed.
pub(crate) struct Dice(TestRunner);

impl Dice {
    /// Another series of the seed's for each `series`.
    pub(crate) fn new(seed: u64, series: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        bytes[8..16].copy_from_slice(&series.to_le_bytes());
        Self(TestRunner::new_with_rng(Config::default(), TestRng::from_seed(RngAlgorithm::ChaCha, &bytes)))
    }

    pub(crate) fn draw(&mut self, range: Range<u64>) -> u64 {
        self.value(&range)
    }

    pub(crate) fn fault(&mut self) -> Fault {
        let told = 1..40_u64;
        let server = 0..2_usize;
        self.value(&prop_oneof![
            2 => Just(Fault::Cut),
            3 => Just(Fault::LoseCommit),
            2 => (told.clone(), any::<bool>()).prop_map(|(told, cut)| Fault::Stall { told, cut }),
            4 => any::<bool>().prop_map(|committing| Fault::Terminate { committing }),
            2 => (told, prop::option::of(server.clone())).prop_map(|(told, kill)| Fault::StopDatabase { told, kill }),
            2 => server.prop_map(Fault::Kill),
        ])
    }

    fn value<S: Strategy>(&mut self, strategy: &S) -> S::Value {
        strategy.new_tree(&mut self.0).unwrap().current()
    }
}
