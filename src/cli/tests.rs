//! Tests of the command line as a whole.

use clap::error::ErrorKind;

use super::*;

/// The flags without an environment variable: they say what one call of a command is to do.
const WITHOUT_VARIABLE: [&str; 18] = [
    "again",
    "as",
    "before",
    "client",
    "contains",
    "dry-run",
    "end",
    "help",
    "keep-alias",
    "live",
    "names-from",
    "prefix",
    "reason",
    "scopes",
    "search",
    "start",
    "version",
    "yes",
];

fn all_commands() -> Vec<clap::Command> {
    let mut found = vec![Cli::command()];
    let mut next = 0;
    while let Some(command) = found.get(next).cloned() {
        found.extend(command.get_subcommands().cloned());
        next += 1;
    }
    found
}

#[test]
fn command_line_definition_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn every_flag_has_an_environment_variable_of_its_name() {
    for command in all_commands() {
        for argument in command.get_arguments() {
            let Some(long) = argument.get_long().filter(|long| !WITHOUT_VARIABLE.contains(long)) else { continue };
            // What an export is of is told by its command.
            if command.get_name() == "export"
                && ["format", "start", "end", "names", "prefix", "contains"].contains(&long)
            {
                continue;
            }
            if command.get_name() == "import" && ["counts", "counts-format"].contains(&long) {
                continue;
            }
            // What a server follows has a variable; an import is told by its command.
            if (command.get_name(), long) == ("import", "follow") {
                continue;
            }
            let expected = match long {
                "database-url" => "DATABASE_URL".to_owned(),
                long => format!("ANALYTICS_{}", long.replace('-', "_").to_uppercase()),
            };
            let name = argument.get_env().and_then(|name| name.to_str());
            assert_eq!(name, Some(expected.as_str()), "{} --{long}", command.get_name());
        }
    }
}

#[test]
fn serve_is_the_command_if_none_is_given() {
    let command = |arguments: &[&str]| {
        let arguments = ["analytics"].iter().chain(arguments).map(OsString::from).collect();
        let matches = Cli::command().try_get_matches_from(with_command(arguments));
        matches.map(|matches| matches.subcommand_name().unwrap().to_owned()).map_err(|error| error.kind())
    };
    assert_eq!(command(&[]).unwrap(), "serve");
    assert_eq!(command(&["--listen", "127.0.0.1:1"]).unwrap(), "serve");
    assert_eq!(command(&["verify", "--log", "debug"]).unwrap(), "verify");
    assert_eq!(command(&["--version"]).unwrap_err(), ErrorKind::DisplayVersion);
    assert_eq!(command(&["--help"]).unwrap_err(), ErrorKind::DisplayHelp);
    assert_eq!(command(&["--listen"]).unwrap_err(), ErrorKind::InvalidValue);
    assert_eq!(command(&["sevre"]).unwrap_err(), ErrorKind::InvalidSubcommand);
    assert_eq!(with_command(Vec::new()), ["serve"]);
}

/// Splits a line as a shell does, as far as examples need it, up to `>`.
fn words(line: &str) -> Vec<String> {
    let quoted = line.split('\'').enumerate();
    let words = quoted.flat_map(|(index, part)| match index % 2 {
        0 => part.split_whitespace().map(str::to_owned).collect(),
        _ => vec![part.to_owned()],
    });
    words.take_while(|word| word != ">" && word != "|").collect()
}

#[test]
fn every_command_has_examples_and_the_program_accepts_them() {
    for command in all_commands() {
        let help = command.get_after_long_help().unwrap_or_else(|| panic!("{} has no examples", command.get_name()));
        let help = help.to_string();
        let (_, examples) = help.split_once("Examples:\n").unwrap();
        for line in examples.lines().filter(|line| !line.starts_with("  # ")) {
            let start = line.find("analytics").unwrap();
            let arguments = with_command(words(&line[start..]).into_iter().map(OsString::from).collect());
            let parsed = Cli::command().try_get_matches_from(arguments);
            let is_accepted = match &parsed {
                Ok(_) => true,
                Err(error) => error.kind() == ErrorKind::DisplayHelp,
            };
            assert!(is_accepted, "{line}: {}", parsed.unwrap_err());
        }
    }
}
