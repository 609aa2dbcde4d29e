//! The clock of a machine of its own, for processes that a test starts: it can be set while they run.

use std::{fs, path::PathBuf, process::Command};

/// A clock that shows the true time and an offset. Processes that use it read the offset from a file, each time that they
/// ask for the time of day; their monotonic clock is not changed, as on a machine whose clock is set.
pub(crate) struct MachineClock {
    file: PathBuf,
}

impl MachineClock {
    /// A clock that is right, whose offset is kept in `file`.
    pub(crate) fn new(file: PathBuf) -> Self {
        let clock = Self { file };
        clock.set(0);
        clock
    }

    /// Sets the clock to the true time and `offset_ms`, which may be negative.
    pub(crate) fn set(&self, offset_ms: i64) {
        let (sign, offset_ms) = (if offset_ms < 0 { '-' } else { '+' }, offset_ms.unsigned_abs());
        let (seconds, millis) = (offset_ms.div_euclid(1000), offset_ms.rem_euclid(1000));
        // Replaced in one step: nobody reads half of it.
        let new = self.file.with_extension("new");
        fs::write(&new, format!("{sign}{seconds}.{millis:03}\n")).unwrap();
        fs::rename(&new, &self.file).unwrap();
    }

    /// Gives `command` this clock.
    pub(crate) fn give_to(&self, command: &mut Command) {
        command.envs(self.environment("libfaketimeMT.so.1"));
    }

    /// What a PostgreSQL server needs in its environment to use this clock. It asks for the time in signal handlers, where
    /// the library for several threads could wait for itself.
    pub(crate) fn of_postgres(&self) -> [(&'static str, String); 5] {
        self.environment("libfaketime.so.1")
    }

    fn environment(&self, library: &str) -> [(&'static str, String); 5] {
        let library = format!("/usr/lib/{}-linux-gnu/faketime/{library}", std::env::consts::ARCH);
        assert!(fs::exists(&library).unwrap(), "{library} is not there: run tests/run, which installs it");
        [
            ("LD_PRELOAD", library),
            ("FAKETIME_TIMESTAMP_FILE", self.file.display().to_string()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
            ("NO_FAKE_STAT", "1".to_owned()),
        ]
    }
}
