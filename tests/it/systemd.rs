//! `deploy/analytics.service` without systemd: its very command and settings, as a process on this machine. Only the
//! program, the address and the folders are others. `deploy/check` has systemd check the unit itself.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    process::Command,
};

use api::access::Token;

use crate::{
    app::{Rung, TestDatabase},
    process::Server,
    wait::eventually,
};

const UNIT: &str = include_str!("../../deploy/analytics.service");

/// The values of a setting, in their order.
fn values(name: &str) -> Vec<&'static str> {
    let lines = UNIT.lines().filter_map(|line| line.split_once('='));
    lines.filter(|(found, _)| *found == name).map(|(_, value)| value).collect()
}

fn value(name: &str) -> &'static str {
    let [value] = values(name)[..] else { panic!("{name} stands once") };
    value
}

/// The environment, each variable with its value.
fn environment() -> Vec<(&'static str, &'static str)> {
    values("Environment").into_iter().map(|value| value.split_once('=').unwrap()).collect()
}

/// The command starts the server with the settings of the unit, and the command for a reload reads the tokens again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unit_starts_a_server_and_reloads_its_tokens() {
    let database = TestDatabase::create(Rung::Sqlite).await;
    let root = database.folder.path().join("root");
    let (state, configuration) = (value("StateDirectory"), value("ConfigurationDirectory"));
    let (state, configuration) = (format!("/var/lib/{state}"), format!("/etc/{configuration}"));
    assert_eq!(value("WorkingDirectory"), state);
    let here = |path: &str| root.join(path.trim_start_matches('/')).display().to_string();
    for folder in [&state, &configuration] {
        fs::create_dir_all(here(folder)).unwrap();
    }
    let line = |secret: &str| format!("{}\n", Token::of_secret(secret, "reports".parse().unwrap(), None));
    let tokens = here(&format!("{configuration}/tokens"));
    fs::write(&tokens, line("a")).unwrap();

    let command = value("ExecStart").strip_prefix("/usr/local/bin/analytics ").unwrap();
    let log = database.folder.path().join("log");
    let mut process = Command::new(env!("CARGO_BIN_EXE_analytics"));
    process.args(command.split(' ')).env_clear().current_dir(here(&state)).stderr(File::create(&log).unwrap());
    for (name, value) in environment() {
        let value = value.replace(&state, &here(&state)).replace(&configuration, &here(&configuration));
        process.env(name, value.replace("127.0.0.1:8000", "127.0.0.1:0"));
    }
    let mut server = Server::of(process);
    let status = async |secret: &str| {
        let request = server.client.get(server.url("/graphql")).query(&[("query", "{ version }")]);
        request.bearer_auth(secret).send().await.unwrap().status().as_u16()
    };
    assert_eq!((status("a").await, status("b").await), (200, 401));
    assert!(fs::exists(here(&format!("{state}/analytics.db"))).unwrap());

    fs::write(&tokens, line("b")).unwrap();
    let reload = value("ExecReload").replace("$MAINPID", &server.child.id().to_string());
    let (program, arguments) = reload.split_once(' ').unwrap();
    assert!(Command::new(program).args(arguments.split(' ')).status().unwrap().success());
    eventually("the reload", async || fs::read_to_string(&log).unwrap().contains("SIGHUP, reading")).await;
    eventually("the new token", async || status("b").await == 200 && status("a").await == 401).await;

    server.signal("TERM");
    assert_eq!(server.child.wait().unwrap().code(), Some(0));
}

#[test]
fn unit_has_settings_of_the_program_and_waits_for_it_to_stop() {
    let help = Command::new(env!("CARGO_BIN_EXE_analytics")).args(["serve", "--help"]).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    for (name, _) in environment() {
        assert!(help.contains(&format!("[env: {name}")), "{name}");
    }
    let default = |flag: &str| -> u64 {
        let (_, rest) = help.split_once(&format!("--{flag} ")).unwrap();
        let (_, rest) = rest.split_once("[default: ").unwrap();
        rest.split(']').next().unwrap().parse().unwrap()
    };
    let milliseconds = default("shutdown-delay-ms") + default("shutdown-timeout-ms");
    assert!(value("TimeoutStopSec").parse::<u64>().unwrap() * 1_000 > milliseconds);
    assert_eq!(value("RestartPreventExitStatus"), "2", "a wrong configuration");
    // The program tells systemd nothing.
    assert_eq!(value("Type"), "exec");
}

/// What an attacker would look for.
#[test]
fn unit_takes_all_rights_away_that_the_program_does_not_need() {
    for (name, expected) in [
        ("CapabilityBoundingSet", ""),
        ("AmbientCapabilities", ""),
        ("NoNewPrivileges", "yes"),
        ("ProtectSystem", "strict"),
        ("ProtectHome", "yes"),
        ("PrivateDevices", "yes"),
        ("PrivateTmp", "yes"),
        ("MemoryDenyWriteExecute", "yes"),
        ("RestrictAddressFamilies", "AF_INET AF_INET6 AF_UNIX"),
        ("SystemCallArchitectures", "native"),
    ] {
        assert_eq!(value(name), expected, "{name}");
    }
    assert_eq!(values("SystemCallFilter"), ["@system-service", "~@privileged @resources"]);
    let written: BTreeSet<_> =
        ["ReadWritePaths", "LogsDirectory", "CacheDirectory"].iter().flat_map(|name| values(name)).collect();
    assert!(written.is_empty(), "it writes to its own folder only: {written:?}");
    assert_ne!(value("User"), "root");
}
