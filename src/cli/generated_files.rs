//! The files that are generated from the definition of the command line: the help of each command, and
//! `docs/settings.md`.

use std::{collections::BTreeSet, fmt::Write, fs, path::Path};

use clap::{Arg, Command, CommandFactory};

use super::{Cli, PROGRAM};

/// The width of a terminal in which the help is printed.
const COLUMNS: usize = 100;
/// The longest line of a document.
const DOCUMENT_COLUMNS: usize = 120;
/// The command that writes the files anew.
const UPDATE: &str = "UPDATE=1 cargo test --workspace --locked --bin analytics generated_files";

const HELP_FOLDER: &str = "tests/it/help";
const SETTINGS_FILE: &str = "docs/settings.md";

const SETTINGS_HEAD: &str = "\
<!-- Generated from the command line's definition. Write it anew with:
     UPDATE=1 cargo test --workspace --locked --bin analytics generated_files -->

# Commands and settings

`analytics COMMAND --help` has examples; `analytics` without a command is `analytics serve`. Exit codes: 0; 1 for a
failure, or if `verify` found differences; 2 for a wrong configuration; 3 if `verify` could not compare.

A setting is a flag behind the command, such as `analytics serve --listen 0.0.0.0:8000`, or an environment variable; the
flag takes precedence. A command reads only its own variables, so all processes may share one environment.

## Commands

";

/// The definition of the command line, without the values that the environment of this test has.
fn definition() -> Command {
    fn without_values(command: Command) -> Command {
        let command = command.mut_args(|argument| argument.hide_env_values(true));
        let names: Vec<_> = command.get_subcommands().map(|command| command.get_name().to_owned()).collect();
        names.into_iter().fold(command, |command, name| command.mut_subcommand(name, without_values))
    }
    let mut command = without_values(Cli::command().term_width(COLUMNS));
    command.build();
    command
}

/// All commands with the words by which they are called, depth first.
fn commands<'a>(words: Vec<&'a str>, command: &'a Command) -> Vec<(Vec<&'a str>, &'a Command)> {
    let children = command.get_subcommands().filter(|child| child.get_name() != "help");
    let children = children.flat_map(|child| {
        let words = words.iter().copied().chain([child.get_name()]).collect();
        commands(words, child)
    });
    let children: Vec<_> = children.collect();
    [(words, command)].into_iter().chain(children).collect()
}

/// Compares the file with what it should be; writes it if the environment has `UPDATE`.
fn assert_file(path: &str, expected: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&file, expected).unwrap();
    }
    let actual = fs::read_to_string(&file).unwrap_or_default();
    assert!(actual == expected, "{path} differs from the command line; run: {UPDATE}");
}

#[test]
fn help_of_every_command_is_the_snapshot() {
    let definition = definition();
    let mut names = BTreeSet::new();
    for (words, command) in commands(Vec::new(), &definition) {
        let name = if words.is_empty() { PROGRAM.to_owned() } else { words.join("-") };
        let help = command.clone().render_long_help().to_string();
        assert_file(&format!("{HELP_FOLDER}/{name}.txt"), &help);
        names.insert(format!("{name}.txt"));
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(HELP_FOLDER);
    let files = folder.read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(files.collect::<BTreeSet<_>>(), names, "a file in {HELP_FOLDER} belongs to no command");
}

#[test]
fn settings_document_lists_every_setting() {
    let definition = definition();
    let mut settings: Vec<Setting> = Vec::new();
    for (words, command) in commands(Vec::new(), &definition) {
        let called = words.join(" ");
        for argument in command.get_arguments().filter(|argument| argument.get_long().is_some()) {
            let setting = Setting::new(argument, &called);
            match settings.iter_mut().find(|known| known.title == setting.title && known.meaning == setting.meaning) {
                // A flag of `migrate` is one of `migrate up` too.
                Some(known) if words.len() > 1 && known.commands.iter().any(|command| command == words[0]) => {}
                Some(known) => known.commands.push(called.clone()),
                None if ["--help", "--version"].contains(&setting.flag.as_str()) => {}
                None => settings.push(setting),
            }
        }
    }
    let mut titles: Vec<_> = settings.iter().map(|setting| setting.section.clone()).collect();
    titles.sort_by_key(|title| (title.starts_with('`'), settings.iter().position(|setting| setting.section == *title)));
    titles.dedup();
    let mut document = SETTINGS_HEAD.to_owned();
    for (words, command) in commands(Vec::new(), &definition).into_iter().skip(1) {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        write_item(&mut document, &format!("`analytics {}`: {about}.", words.join(" ")));
    }
    for title in titles {
        write!(document, "\n## {title}\n\n").unwrap();
        for setting in settings.iter().filter(|setting| setting.section == title) {
            setting.write(&mut document);
        }
    }
    assert_file(SETTINGS_FILE, &document);
}

/// A setting of one or several commands.
struct Setting {
    flag: String,
    /// The flag with the name of its value, its variable and its default.
    title: String,
    /// The heading of the help, or the command if it has none.
    section: String,
    meaning: String,
    commands: Vec<String>,
}

impl Setting {
    fn new(argument: &Arg, command: &str) -> Self {
        let flag = format!("--{}", argument.get_long().unwrap());
        let value = argument.get_value_names().filter(|_| argument.get_action().takes_values());
        let value = value.map(|names| format!(" {}", names[0])).unwrap_or_default();
        let mut title = format!("`{flag}{value}`");
        if let Some(variable) = argument.get_env() {
            write!(title, " (`{}`)", variable.to_str().unwrap()).unwrap();
        }
        let default: Vec<_> = argument.get_default_values().iter().map(|value| value.to_str().unwrap()).collect();
        if !default.is_empty() && !value.is_empty() {
            write!(title, ", by default `{}`", default.join(",")).unwrap();
        }
        let mut meaning = argument.get_help().map(ToString::to_string).unwrap_or_default();
        let mut values = argument.get_possible_values();
        values.retain(|value| !value.is_hide_set());
        if !values.is_empty() && !value.is_empty() {
            let values: Vec<_> = values.iter().map(|value| format!("`{}`", value.get_name())).collect();
            write!(meaning, ". One of {}", values.join(", ")).unwrap();
        }
        let section = argument.get_help_heading().map_or_else(|| format!("`analytics {command}`"), str::to_owned);
        Self { flag, title, section, meaning, commands: vec![command.to_owned()] }
    }

    fn write(&self, document: &mut String) {
        let section = format!("`analytics {}`", self.commands.join(", "));
        let mut text = format!("{}. {}.", self.title, self.meaning);
        if section != self.section {
            write!(text, " For {}.", self.commands.join(", ")).unwrap();
        }
        write_item(document, &text);
    }
}

/// Appends an item of a list, in lines of at most [`DOCUMENT_COLUMNS`].
fn write_item(document: &mut String, text: &str) {
    let mut line = "-".to_owned();
    for word in text.split_whitespace() {
        if line.len() + 1 + word.len() > DOCUMENT_COLUMNS {
            writeln!(document, "{line}").unwrap();
            line = " ".to_owned();
        }
        write!(line, " {word}").unwrap();
    }
    writeln!(document, "{line}").unwrap();
}
