//! Licences and sources of all dependencies. The lists are those of `deny.toml`.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use serde_json::Value;
use spdx::{Expression, Licensee, ParseMode};
use toml::Table;

/// How cargo names the registry of crates.io.
const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";
/// Two workspaces: the fuzz targets are none of the program's.
const MANIFESTS: [&str; 2] = ["Cargo.toml", "fuzz/Cargo.toml"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All crates of the lock files, on whatever platform they are used, and our own. Fetches those that no build needed.
fn packages() -> Vec<Value> {
    let mut packages = Vec::new();
    for manifest in MANIFESTS {
        let mut command = Command::new(env!("CARGO"));
        command.args(["metadata", "--locked", "--format-version=1", "--manifest-path"]).arg(root().join(manifest));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{manifest}: {}", String::from_utf8_lossy(&output.stderr));
        let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
        let found = metadata["packages"].as_array().unwrap();
        assert!(found.len() > 100, "{manifest} has more dependencies than these: {found:?}");
        packages.extend(found.iter().cloned());
    }
    packages
}

/// A licence that `deny.toml` allows for all crates, or for one crate.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Allowed {
    crate_name: Option<String>,
    licence: String,
}

impl Allowed {
    fn all() -> Vec<Self> {
        let file: Table = fs::read_to_string(root().join("deny.toml")).unwrap().parse().unwrap();
        let licenses = &file["licenses"];
        let texts = |list: &toml::Value| -> Vec<String> {
            list["allow"].as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
        };
        let everybody = texts(licenses).into_iter().map(|licence| Self { crate_name: None, licence });
        let exceptions = licenses["exceptions"].as_array().unwrap().iter().flat_map(|exception| {
            let name = exception["crate"].as_str().unwrap();
            texts(exception).into_iter().map(move |licence| Self { crate_name: Some(name.to_owned()), licence })
        });
        everybody.chain(exceptions).collect()
    }

    /// The licences by which `name` may be used under `expression`; none if it may not be.
    fn needed<'a>(all: &'a [Self], name: &str, expression: &str) -> Option<Vec<&'a Self>> {
        let expression = Expression::parse_mode(expression, ParseMode::LAX).ok()?;
        let mut needed = Vec::new();
        let is_fine = expression.evaluate(|required| {
            let found = all.iter().find(|allowed| {
                allowed.crate_name.as_ref().is_none_or(|only| only == name)
                    && Licensee::parse(&allowed.licence).unwrap().satisfies(required)
            });
            needed.extend(found);
            found.is_some()
        });
        is_fine.then_some(needed)
    }
}

#[test]
fn licences_in_use_are_those_of_deny_toml() {
    let all = Allowed::all();
    let mut used = BTreeSet::new();
    let mut wrong = Vec::new();
    for package in packages() {
        let (name, licence) = (package["name"].as_str().unwrap(), package["license"].as_str().unwrap_or("none"));
        match Allowed::needed(&all, name, licence) {
            Some(needed) => used.extend(needed),
            None => wrong.push(format!("{name} {}: {licence}", package["version"])),
        }
    }
    assert!(wrong.is_empty(), "not in deny.toml: {wrong:#?}");
    let unused: Vec<_> = all.iter().filter(|allowed| !used.contains(allowed)).collect();
    assert!(unused.is_empty(), "allowed in deny.toml, and needed by nothing: {unused:#?}");
}

#[test]
fn licence_outside_deny_toml_is_rejected() {
    let all = Allowed::all();
    for (name, licence, is_allowed) in [
        ("a", "MIT", true),
        ("a", "MIT/Apache-2.0", true),
        ("a", "GPL-3.0-only OR MIT", true),
        ("a", "GPL-3.0-only", false),
        ("a", "MIT AND GPL-3.0-only", false),
        ("a", "LGPL-2.1-or-later", false),
        ("a", "CC0-1.0", false),
        ("tiny-keccak", "CC0-1.0", true),
        ("a", "none", false),
    ] {
        assert_eq!(Allowed::needed(&all, name, licence).is_some(), is_allowed, "{name}: {licence}");
    }
}

#[test]
fn dependencies_come_from_crates_io_or_this_repository() {
    for package in packages() {
        match package["source"].as_str() {
            Some(source) => assert_eq!(source, CRATES_IO, "{}", package["name"]),
            None => {
                let manifest = package["manifest_path"].as_str().unwrap();
                assert!(Path::new(manifest).starts_with(root()), "{manifest} is not in this repository");
            }
        }
    }
}

/// The rows of a folder's `VENDORED.md`: package, version, file in the package, file here, checksum, licence.
fn vendored(folder: &Path) -> Vec<Vec<String>> {
    let text = fs::read_to_string(folder.join("VENDORED.md")).unwrap();
    let cells = |line: &str| -> Vec<String> {
        line.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`').to_owned()).collect()
    };
    text.lines().filter(|line| line.starts_with("| `")).map(cells).collect()
}

#[test]
fn vendored_packages_come_with_their_licences() {
    let all = Allowed::all();
    let mut folders = 0;
    for folder in fs::read_dir(root().join("api/assets")).unwrap().map(|entry| entry.unwrap().path()) {
        if !folder.is_dir() {
            continue;
        }
        folders += 1;
        let rows = vendored(&folder);
        assert!(!rows.is_empty(), "{} has no table", folder.display());
        for row in &rows {
            let [package, _, _, _, _, licence] = row.as_slice() else { panic!("{row:?}") };
            assert!(Allowed::needed(&all, package, licence).is_some(), "{package}: {licence}");
            let file = rows.iter().find(|other| other[0] == *package && other[3].ends_with(".LICENSE.txt"));
            let file = folder.join(&file.unwrap_or_else(|| panic!("{package} has no licence in its table"))[3]);
            let text = fs::read_to_string(&file).unwrap();
            assert_eq!(licence, "MIT", "the words of another licence are to be looked for here");
            assert!(text.contains("Permission is hereby granted, free of charge"), "{}", file.display());
        }
    }
    assert!(folders > 1, "the folders of api/assets");
}

/// What `api/assets/graphiql/bundle` makes names the licence of each package that is in it, above its text.
#[test]
fn bundled_packages_come_with_their_licences() {
    let all = Allowed::all();
    let text = fs::read_to_string(root().join("api/assets/graphiql/graphiql.LICENSE.txt")).unwrap();
    let separator = format!("\n{}\n\n", "=".repeat(80));
    let packages: Vec<_> = text.split(&separator).collect();
    assert!(packages.len() > 40, "{}", packages.len());
    for package in packages {
        let (head, licence_text) = package.split_once("\n\n").unwrap();
        let (name, licence) = head.split_once(": ").unwrap_or_else(|| panic!("{head}"));
        // 0BSD asks for nothing.
        assert!(licence == "0BSD" || Allowed::needed(&all, name, licence).is_some(), "{name}: {licence}");
        assert!(licence_text.len() > 300, "{name} has no text of its licence");
    }
}

#[test]
fn bundle_is_made_of_packages_with_checksums() {
    let lock = fs::read_to_string(root().join("api/assets/graphiql/bundle/package-lock.json")).unwrap();
    let lock: Value = serde_json::from_str(&lock).unwrap();
    let packages = lock["packages"].as_object().unwrap();
    assert!(packages.len() > 50, "{}", packages.len());
    for (path, package) in packages.iter().filter(|(path, _)| !path.is_empty()) {
        assert!(package["integrity"].as_str().is_some_and(|sum| sum.starts_with("sha512-")), "{path}");
        assert!(package.get("resolved").is_none(), "{path} names a registry: each machine uses its own");
    }
}
