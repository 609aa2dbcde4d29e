//! The clock of a machine of its own, for processes that a test starts: it can be set while they run.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::Command,
};

/// A clock that shows the true time and an offset. Processes that use it find the offset in a file that they map; their
/// monotonic clock is not changed, as on a machine whose clock is set.
pub(crate) struct MachineClock {
    file: PathBuf,
    library: PathBuf,
}

impl MachineClock {
    /// A clock that is right, with its files in `folder`.
    pub(crate) fn new(folder: &Path, name: &str) -> Self {
        let library = folder.join("machine_clock.so");
        if !library.exists() {
            let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/machine_clock.c");
            let mut compiler = Command::new("cc");
            compiler.args(["-O2", "-Wall", "-Werror", "-shared", "-fPIC", source, "-o"]).arg(&library);
            assert!(compiler.status().unwrap().success());
        }
        let file = folder.join(format!("{name}.clock"));
        fs::write(&file, 0_i64.to_ne_bytes()).unwrap();
        Self { file, library }
    }

    /// Sets the clock to the true time and `offset_ms`, which may be negative.
    pub(crate) fn set(&self, offset_ms: i64) {
        let offset_ns = offset_ms * 1_000_000;
        File::options().write(true).open(&self.file).unwrap().write_all_at(&offset_ns.to_ne_bytes(), 0).unwrap();
    }

    /// Returns what a process needs in its environment to use this clock.
    pub(crate) fn environment(&self) -> [(&'static str, &Path); 2] {
        [("LD_PRELOAD", &self.library), ("MACHINE_CLOCK", &self.file)]
    }
}
