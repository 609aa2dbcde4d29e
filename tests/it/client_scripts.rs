//! Clients from npm and PyPI, and Chromium, driven by the scripts in tests/clients.

use std::{path::Path, process::Stdio};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

/// A running script that prints one JSON value a line.
pub(crate) struct Script {
    child: Child,
    input: Option<ChildStdin>,
    output: Lines<BufReader<ChildStdout>>,
}

impl Script {
    pub(crate) fn start(name: &str, arguments: &[&str]) -> Self {
        let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients"));
        let python = folder.join("venv/bin/python");
        let (program, packages) = match name.ends_with(".py") {
            true => (python.as_path(), "venv"),
            false => (Path::new("node"), "node_modules"),
        };
        assert!(
            folder.join(packages).exists(),
            "the clients' packages are not installed: run tests/run, which installs them"
        );
        let mut command = Command::new(program);
        command.arg(name).args(arguments).current_dir(folder);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("node or python is not installed");
        let output = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { input: child.stdin.take(), child, output }
    }

    pub(crate) async fn send_line(&mut self, line: &str) {
        let input = self.input.as_mut().unwrap();
        input.write_all(format!("{line}\n").as_bytes()).await.unwrap();
        input.flush().await.unwrap();
    }

    /// The next value; nothing when the script has ended.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        let line = self.output.next_line().await.unwrap()?;
        Some(serde_json::from_str(&line).unwrap())
    }

    /// Returns the rest of the values. Fails unless the script succeeds.
    pub(crate) async fn finish(mut self, name: &str) -> Vec<Value> {
        let mut values = Vec::new();
        while let Some(value) = self.next().await {
            values.push(value);
        }
        assert!(self.child.wait().await.unwrap().success(), "{name} failed, see its output above");
        values
    }
}
