//! The program `analytics` as a process.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Output, Stdio},
};

use serde_json::{Value, json};

use crate::app::TestDatabase;

/// `analytics` with `arguments` on `database`, in the database's folder.
pub(crate) fn analytics(database: &TestDatabase, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_analytics"));
    command.args(arguments).env("DATABASE_URL", &database.url).current_dir(database.folder.path());
    command
}

/// Runs a command to its end.
pub(crate) fn run(database: &TestDatabase, arguments: &[&str]) -> Output {
    analytics(database, arguments).stdin(Stdio::null()).output().unwrap()
}

/// Runs a command, which has to succeed, and returns its output.
pub(crate) fn succeed(database: &TestDatabase, arguments: &[&str]) -> String {
    let output = run(database, arguments);
    assert!(output.status.success(), "analytics {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A serving process; killed when it is dropped.
pub(crate) struct Server {
    pub(crate) child: Child,
    pub(crate) address: String,
    pub(crate) client: reqwest::Client,
}

impl Server {
    /// Serves on a free port. Returns when the process has printed its address.
    pub(crate) fn start(database: &TestDatabase, arguments: &[&str]) -> Self {
        Self::start_at(database, "127.0.0.1:0", arguments)
    }

    /// Serves at `address`.
    pub(crate) fn start_at(database: &TestDatabase, address: &str, arguments: &[&str]) -> Self {
        let mut command = analytics(database, &["serve", "--listen", address, "--log", "warn"]);
        command.args(arguments);
        Self::of(command)
    }

    /// Runs this command. Returns when the process has printed its address.
    pub(crate) fn of(command: Command) -> Self {
        Self::try_of(command).expect("the server ended before it printed its address")
    }

    /// Runs this command. Returns when the process has printed its address; none when it ends before.
    pub(crate) fn try_of(mut command: Command) -> Option<Self> {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = lines.find_map(|line| {
            let line = line.ok()?;
            let (_, rest) = line.split_once("http://")?;
            rest.split('/').next().map(str::to_owned)
        });
        let Some(address) = address else {
            child.wait().unwrap();
            return None;
        };
        Some(Self { child, address, client: reqwest::Client::new() })
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Executes an operation, and returns its data; errors of any kind as text.
    pub(crate) async fn data(&self, query: &str, variables: Value) -> Result<Value, String> {
        let body = json!({ "query": query, "variables": variables });
        let response = self.client.post(self.url("/graphql")).json(&body).send().await;
        let answer: Value =
            response.map_err(|error| error.to_string())?.json().await.map_err(|error| error.to_string())?;
        match answer.get("errors") {
            None => Ok(answer["data"].clone()),
            Some(errors) => Err(errors.to_string()),
        }
    }

    /// Sends a signal by name, such as TERM.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
