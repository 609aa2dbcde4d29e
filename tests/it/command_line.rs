//! The command line from outside: what each command reads of the environment, how it refuses what is wrong, and what it
//! prints for shells and for `man`.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::{Command, Output, Stdio},
};

use tempfile::TempDir;

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_analytics"));
    command.args(arguments).current_dir(folder).env_remove("DATABASE_URL").stdin(Stdio::null());
    command
}

fn run(folder: &TempDir, arguments: &[&str]) -> Output {
    command(folder.path(), arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The environment variables that the text names.
fn variables(text: &str) -> BTreeSet<String> {
    let words = text.split(|character: char| !character.is_ascii_uppercase() && character != '_');
    words.filter(|word| word.starts_with("ANALYTICS_")).map(str::to_owned).collect()
}

#[test]
fn variable_of_another_command_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let all = variables(&fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/settings.md")).unwrap());
    assert!(all.len() > 40, "{all:?}");
    for arguments in [
        &["migrate", "status"][..],
        &["migrate"],
        &["refresh"],
        &["rebuild"],
        &["verify"],
        &["backup", "copy.db"],
        &["token"],
        &["snippet", "https://stats.example.org"],
        &["schema"],
        &["completions", "bash"],
        &["man"],
    ] {
        let help = run(&folder, &[&arguments[..1], &["--help"]].concat());
        let own = variables(&text(&help.stdout));
        let mut command = command(folder.path(), arguments);
        command.envs(all.difference(&own).map(|name| (name, "?")));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    }
}

#[test]
fn variables_of_logins_are_for_migrate_up_only() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, code) in [
        (&["migrate", "status"][..], 0),
        // An SQLite file has no logins.
        (&["migrate"], 2),
        (&["migrate", "up"], 2),
        // A flag is meant for this call.
        (&["migrate", "--roles", "status"], 2),
    ] {
        let mut command = command(folder.path(), arguments);
        let output = command.env("ANALYTICS_ROLES", "true").env("ANALYTICS_ROLE_PASSWORDS_FILE", "nowhere").output();
        let output = output.unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", text(&output.stderr));
    }
}

#[test]
fn error_gives_an_example_of_what_is_right() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("my logs")).unwrap();
    for (arguments, code, words) in [
        (&["--listen", ":8000"][..], 2, "127.0.0.1:8000"),
        (&["--services", "report"], 2, "'reports'"),
        (&["--refresh-cron", "every hour"], 2, "'0 */5 * * * *'"),
        (&["sevre"], 2, "'serve'"),
        (&["serve", "--log-level", "debug"], 2, "'--log'"),
        (&["verify", "--database-url", "data/analytics.db"], 2, "for example sqlite://data/analytics.db"),
        (&["verify", "--database-url", "sqlite://no/analytics.db"], 2, "/no does not exist; create it: mkdir -p /"),
        (&["backup", "no/copy.db"], 1, "/no does not exist; create it: mkdir -p /"),
        (
            &["serve", "--tokens-file", "tokens"],
            2,
            "--tokens-file tokens (`analytics token` prints the lines of such a file)",
        ),
        (&["import", "my logs"], 1, "no file in my logs (those in its folders, hidden and empty ones are left out)"),
        (&["serve", "--otlp-endpoint", "collector:4318"], 2, "http://127.0.0.1:4318"),
        (&["migrate", "--role-prefix", "My"], 2, "such as analytics"),
        (&["serve", "--anonymous", "all"], 2, "[possible values: increments, reports]"),
        (&["serve", "--allow-origin", "example.org"], 2, "https://example.org"),
    ] {
        let output = run(&folder, arguments);
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {message}");
        assert!(message.contains(words), "{arguments:?}: {message}");
    }
}

/// The words that bash would offer for the last word of a line, by the function that the script defines.
fn complete(script: &Path, line: &[&str]) -> Vec<String> {
    let (last, before) = line.split_last().unwrap();
    let mut bash = Command::new("bash");
    let call = r#"source "$0"; last=$1; before=$2; COMP_CWORD=$3; shift 3; COMP_WORDS=("$@")
                  _analytics analytics "$last" "$before"; printf '%s\n' "${COMPREPLY[@]}""#;
    bash.args(["--norc", "-c", call]).arg(script).args([
        last,
        before.last().unwrap(),
        &before.len().to_string().as_str(),
    ]);
    let output = bash.args(line).output().unwrap();
    assert_eq!(text(&output.stderr), "");
    text(&output.stdout).lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_flags_and_values() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("analytics.bash");
    fs::write(&script, run(&folder, &["completions", "bash"]).stdout).unwrap();
    assert_eq!(complete(&script, &["analytics", "re"]), ["refresh", "rebuild"]);
    assert_eq!(complete(&script, &["analytics", "serve", "--refresh"]), ["--refresh-cron"]);
    assert_eq!(complete(&script, &["analytics", "rebuild", "--as", ""]), ["materialized-view", "table"]);
    assert_eq!(complete(&script, &["analytics", "migrate", "st"]), ["status"]);
    for shell in ["zsh", "fish", "elvish", "powershell"] {
        let output = run(&folder, &["completions", shell]);
        assert!(output.status.success() && text(&output.stdout).contains("refresh-cron"), "{shell}");
    }
    let unknown = run(&folder, &["completions", "csh"]);
    assert_eq!(unknown.status.code(), Some(2));
}

/// A misspelt level would be taken for the name of a module, and switch everything else off.
#[test]
fn misspelt_level_of_the_log_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for levels in ["inof", "info wolf", "wolf=debgu", "info,wolf=debgu"] {
        let refused = run(&folder, &["migrate", "status", "--log", levels]);
        assert_eq!(refused.status.code(), Some(2), "{levels}");
        let message = text(&refused.stderr);
        assert!(message.contains("--log") && message.contains("error, warn, info"), "{message}");
    }
    for levels in ["off", "DEBUG", "info,wolf=debug", "trace,tungstenite::protocol=off"] {
        assert_ne!(run(&folder, &["migrate", "status", "--log", levels]).status.code(), Some(2), "{levels}");
    }
}

/// Renders the page as `man` does, where it is installed.
fn render(page: &Path) -> Option<String> {
    let mut man = Command::new("man");
    man.args(["--warnings", "--local-file"]).arg(page).env("MANPAGER", "cat").env("MANWIDTH", "100");
    let output = man.env("LC_ALL", "C.UTF-8").output().ok()?;
    assert!(output.status.success() && output.stderr.is_empty(), "{}: {}", page.display(), text(&output.stderr));
    Some(text(&output.stdout))
}

#[test]
fn every_command_has_a_manual_page() {
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man1");
    let missing = run(&folder, &["man", "man1"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(text(&missing.stderr).contains("can't write the manual pages into man1"), "{}", text(&missing.stderr));

    fs::create_dir(&pages).unwrap();
    assert!(run(&folder, &["man", "man1"]).status.success());
    let found = pages.read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let found: BTreeSet<_> = found.map(|name| name.replace(".1", "").replacen("analytics-", "", 1)).collect();
    let helps = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/help").read_dir().unwrap();
    let helps = helps.map(|entry| entry.unwrap().file_name().into_string().unwrap().replace(".txt", ""));
    let helps: BTreeSet<_> = helps.collect();
    assert!(found.is_superset(&helps), "{found:?}");
    for name in &found {
        let page =
            pages.join(if name == "analytics" { "analytics.1".to_owned() } else { format!("analytics-{name}.1") });
        let source = fs::read_to_string(&page).unwrap();
        let sections = [".TH analytics", ".SH NAME", ".SH SYNOPSIS"];
        assert!(sections.iter().all(|section| source.contains(section)), "{name}: {source}");
        let rendered = render(&page);
        assert!(rendered.is_none_or(|text| text.contains("SYNOPSIS") && text.contains("analytics")), "{name}");
    }
    let printed = text(&run(&folder, &["man"]).stdout);
    assert_eq!(printed, fs::read_to_string(pages.join("analytics.1")).unwrap());
}
