//! The modules of each crate depend on each other in one direction.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The crates of the product.
const CRATES: [&str; 13] = [
    "access_logs/src",
    "api/src",
    "bots/src",
    "counts/src",
    "entity/src",
    "import/src",
    "increments/src",
    "jobs/src",
    "migration/src",
    "reports/src",
    "src",
    "storage/src",
    "wolf/src",
];

/// The path of a module in its crate, such as `["http", "etag"]`; empty for the crate itself.
type Module = Vec<String>;

/// The modules of a crate, each with the modules that it names.
type Uses = BTreeMap<Module, BTreeSet<Module>>;

#[test]
fn modules_of_a_crate_form_no_circle_but_of_a_parent_and_its_children() {
    for folder in CRATES {
        let uses = uses_in(&read_modules(&Path::new(ROOT).join(folder)));
        assert!(!uses.is_empty(), "{folder}");
        assert_eq!(circle(&uses), None, "{folder}");
    }
}

#[test]
fn graphql_names_neither_http_nor_its_library() {
    let modules = read_modules(&Path::new(ROOT).join("api/src"));
    let graphql = modules.iter().filter(|(module, _)| module.first().is_some_and(|name| name == "graphql"));
    for (module, text) in graphql.clone() {
        for name in ["crate::http", "axum", "hyper"] {
            assert!(!text.contains(name), "{} names {name}", module.join("::"));
        }
    }
    assert!(graphql.count() > 10);
}

#[test]
fn circle_among_siblings_is_found_and_one_with_the_parent_is_none() {
    let uses = |modules: &[(&str, &str)]| {
        let modules = modules.iter().map(|(module, text)| (path(module), (*text).to_owned()));
        uses_in(&modules.collect())
    };
    let found = |modules: &[(&str, &str)]| circle(&uses(modules));
    assert_eq!(
        found(&[("", "mod a;"), ("a", "use crate::b::{C, d::E as F};"), ("b", ""), ("b::d", "use super::C;")]),
        None
    );
    let names = |names: &[&str]| Some(names.iter().map(|name| path(name)).collect());
    assert_eq!(
        found(&[("", ""), ("a", "use crate::{b, x::Y};"), ("b", "fn f() { super::a::g() }")]),
        names(&["a", "b"])
    );
    assert_eq!(
        found(&[("", ""), ("a", "use super::b::{self, X};"), ("b", ""), ("b::d", "use super::super::a::Z;")]),
        names(&["a", "b"]),
        "a module counts with its children"
    );
}

fn path(text: &str) -> Module {
    text.split("::").filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// Reads the modules of a crate with their texts, without tests and comments.
fn read_modules(folder: &Path) -> BTreeMap<Module, String> {
    let mut modules = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let file = entry.unwrap().path();
            if file.is_dir() {
                folders.push(file);
                continue;
            }
            let stem = file.with_extension("");
            let mut module: Module =
                stem.strip_prefix(folder).unwrap().iter().map(|name| name.to_str().unwrap().to_owned()).collect();
            let name = module.last().unwrap().as_str();
            if file.extension().is_none_or(|extension| extension != "rs") || ["tests", "fuzzing"].contains(&name) {
                continue;
            }
            if module == ["lib"] || module == ["main"] {
                module.clear();
            }
            let text = fs::read_to_string(&file).unwrap();
            let text = text.split("#[cfg(test)]\nmod tests").next().unwrap();
            let lines = text.lines().map(|line| line.split("//").next().unwrap());
            modules.insert(module, lines.collect::<Vec<_>>().join("\n"));
        }
    }
    modules
}

/// Finds which modules name which.
fn uses_in(modules: &BTreeMap<Module, String>) -> Uses {
    modules
        .iter()
        .map(|(module, text)| {
            let named = paths_in(text).into_iter().filter_map(|path| resolve(modules, module, &path));
            (module.clone(), named.filter(|named| named != module).collect())
        })
        .collect()
}

/// Returns the paths in `use` declarations, and those that begin with `crate` or `super` elsewhere.
fn paths_in(text: &str) -> Vec<Module> {
    let mut paths = Vec::new();
    for declaration in text.split("use ").skip(1) {
        expand(&[], declaration.split(';').next().unwrap(), &mut paths);
    }
    let is_of_path = |character: char| character.is_alphanumeric() || "_:".contains(character);
    for word in text.split(|character: char| !is_of_path(character)) {
        if word.starts_with("crate::") || word.starts_with("super::") {
            paths.push(path(word));
        }
    }
    paths
}

/// Adds the paths of a tree such as `a::{b, c::{self, d as e}}`.
fn expand(prefix: &[String], tree: &str, paths: &mut Vec<Module>) {
    let (mut depth, mut start) = (0_i32, 0);
    let ends = tree.char_indices().filter(|(_, character)| match character {
        '{' => {
            depth += 1;
            false
        }
        '}' => {
            depth -= 1;
            false
        }
        ',' => depth == 0,
        _ => false,
    });
    let ends: Vec<_> = ends.map(|(index, _)| index).chain([tree.len()]).collect();
    for end in ends {
        let item = tree[start..end].trim();
        start = (end + 1).min(tree.len());
        match item.split_once('{') {
            Some((names, rest)) => {
                let prefix: Vec<_> = prefix.iter().cloned().chain(path(names.trim())).collect();
                expand(&prefix, rest.rsplit_once('}').map_or(rest, |(items, _)| items), paths);
            }
            None if !item.is_empty() => {
                let names = item.split(" as ").next().unwrap().split("::").map(|name| name.trim().to_owned());
                paths.push(prefix.iter().cloned().chain(names).collect());
            }
            None => {}
        }
    }
}

/// Returns the module of this crate that a path in `module` leads to.
fn resolve(modules: &BTreeMap<Module, String>, module: &Module, path: &[String]) -> Option<Module> {
    let (mut found, mut names) = match path.first()?.as_str() {
        "crate" => (Module::new(), &path[1..]),
        "self" => (module.clone(), &path[1..]),
        "super" => (module.clone(), path),
        _ => return None,
    };
    while let [first, rest @ ..] = names
        && first == "super"
    {
        found.pop()?;
        names = rest;
    }
    for name in names {
        let longer: Module = found.iter().cloned().chain([name.clone()]).collect();
        if !modules.contains_key(&longer) {
            break;
        }
        found = longer;
    }
    Some(found)
}

/// Returns the modules of a circle among siblings, where a module counts with all its descendants.
fn circle(uses: &Uses) -> Option<Vec<Module>> {
    let mut siblings: Uses = BTreeMap::new();
    for (module, named) in uses {
        for named in named {
            let shared = module.iter().zip(named).take_while(|(one, other)| one == other).count();
            if shared < module.len() && shared < named.len() {
                siblings.entry(module[..=shared].to_vec()).or_default().insert(named[..=shared].to_vec());
            }
        }
    }
    // Each step goes to a module that is named; what can reach itself is in a circle.
    let in_circle = siblings.keys().filter(|start| {
        let mut reached = BTreeSet::new();
        let mut next: Vec<_> = siblings[*start].iter().collect();
        while let Some(module) = next.pop() {
            if reached.insert(module) {
                next.extend(siblings.get(module).into_iter().flatten());
            }
        }
        reached.contains(start)
    });
    let found: Vec<_> = in_circle.cloned().collect();
    (!found.is_empty()).then_some(found)
}
