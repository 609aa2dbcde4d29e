//! A generator of queries from the introspected schema.

use std::{collections::HashMap, ops::Range};

use chrono::{DateTime, TimeDelta, Utc};
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use serde_json::{Value, json};

pub(crate) const INTROSPECTION: &str = "{ __schema { queryType { name } types { kind name isOneOf
    fields { name args { name type { ...of } } type { ...of } } inputFields { name type { ...of } } enumValues { name } } } }
    fragment of on __Type { kind name ofType { kind name ofType { kind name ofType { kind name } } } }";

const DEPTH_MAX: usize = 6;

/// A selected field.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub(crate) alias: String,
    pub(crate) name: String,
    pub(crate) of_type: Value,
    pub(crate) arguments: Vec<(String, Literal)>,
    pub(crate) children: Vec<Field>,
}

/// A value in a query.
#[derive(Clone, Debug)]
pub(crate) enum Literal {
    Json(Value),
    Enum(String),
    List(Vec<Literal>),
    Object(Vec<(String, Literal)>),
}

impl Literal {
    pub(crate) fn get(&self, name: &str) -> Option<&Self> {
        let Self::Object(fields) = self else { return None };
        fields.iter().find(|(field, _)| field == name).map(|(_, value)| value).filter(|value| !value.is_null())
    }

    fn is_null(&self) -> bool {
        matches!(self, Self::Json(Value::Null))
    }

    pub(crate) fn as_text(&self) -> Option<&str> {
        let Self::Json(Value::String(text)) = self else { return None };
        Some(text)
    }

    pub(crate) fn as_enum(&self) -> Option<&str> {
        let Self::Enum(name) = self else { return None };
        Some(name)
    }

    /// The value as it is in variables.
    pub(crate) fn to_json(&self) -> Value {
        match self {
            Self::Json(value) => value.clone(),
            Self::Enum(name) => json!(name),
            Self::List(entries) => entries.iter().map(Self::to_json).collect(),
            Self::Object(fields) => fields.iter().map(|(name, value)| (name.clone(), value.to_json())).collect(),
        }
    }

    fn print(&self) -> String {
        match self {
            Self::Json(value) => value.to_string(),
            Self::Enum(name) => name.clone(),
            Self::List(entries) => format!("[{}]", entries.iter().map(Self::print).collect::<Vec<_>>().join(", ")),
            Self::Object(fields) => {
                let fields = fields.iter().map(|(name, value)| format!("{name}: {}", value.print()));
                format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
            }
        }
    }
}

impl Field {
    pub(crate) fn argument(&self, name: &str) -> Option<&Literal> {
        self.arguments.iter().find(|(argument, _)| argument == name).map(|(_, value)| value)
    }

    /// The response keys of the child `name`.
    pub(crate) fn aliases(&self, name: &str) -> impl Iterator<Item = &str> {
        self.children.iter().filter(move |child| child.name == name).map(|child| child.alias.as_str())
    }

    fn print(&self) -> String {
        let mut text = format!("{}: {}", self.alias, self.name);
        if !self.arguments.is_empty() {
            let arguments: Vec<_> =
                self.arguments.iter().map(|(name, value)| format!("{name}: {}", value.print())).collect();
            text += &format!("({})", arguments.join(", "));
        }
        if !self.children.is_empty() {
            text += &format!(" {{ {} }}", print(&self.children));
        }
        text
    }
}

pub(crate) fn print(fields: &[Field]) -> String {
    fields.iter().map(Field::print).collect::<Vec<_>>().join(" ")
}

pub(crate) struct Generator {
    types: HashMap<String, Value>,
    root: String,
    runner: TestRunner,
    fields: usize,
}

impl Generator {
    pub(crate) fn new(schema: &Value, seed: u8) -> Self {
        let name = |value: &Value| value["name"].as_str().unwrap().to_owned();
        let types = schema["types"].as_array().unwrap().iter().map(|kind| (name(kind), kind.clone())).collect();
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
        let runner = TestRunner::new_with_rng(Config::default(), rng);
        Self { types, root: name(&schema["queryType"]), runner, fields: 0 }
    }

    /// Where the recorded times begin.
    pub(crate) fn first(&self) -> DateTime<Utc> {
        "2025-01-15T00:00:00Z".parse().unwrap()
    }

    pub(crate) fn draw(&mut self, range: Range<i64>) -> i64 {
        range.new_tree(&mut self.runner).unwrap().current()
    }

    pub(crate) fn one_of<'a, T>(&mut self, choice: &'a [T]) -> &'a T {
        &choice[usize::try_from(self.draw(0..i64::try_from(choice.len()).unwrap())).unwrap()]
    }

    fn one_in(&mut self, times: i64) -> bool {
        self.draw(0..times) == 0
    }

    /// The fields of a query.
    pub(crate) fn query(&mut self) -> Vec<Field> {
        let root = self.root.clone();
        self.selection(&root, DEPTH_MAX)
    }

    /// At least one field of the type `name`.
    fn selection(&mut self, name: &str, depth: usize) -> Vec<Field> {
        let mut fields = self.types[name]["fields"].as_array().unwrap().clone();
        // They need a token: tests/it/jobs_api.rs.
        fields.retain(|field| name != self.root || !["job", "jobs"].contains(&field["name"].as_str().unwrap()));
        let mut selected = Vec::new();
        for _ in 0..=self.draw(0..3) {
            let field = self.one_of(&fields).clone();
            if let Some(field) = self.field(&field, depth) {
                selected.push(field);
            }
        }
        if selected.is_empty() || self.one_in(8) {
            let of_type = json!({ "kind": "NON_NULL", "ofType": { "kind": "SCALAR", "name": "String" } });
            selected.push(self.leaf("__typename", of_type));
        }
        selected
    }

    fn leaf(&mut self, name: &str, of_type: Value) -> Field {
        self.fields += 1;
        Field {
            alias: format!("f{}", self.fields),
            name: name.to_owned(),
            of_type,
            arguments: Vec::new(),
            children: Vec::new(),
        }
    }

    fn field(&mut self, field: &Value, depth: usize) -> Option<Field> {
        let mut selected = self.leaf(field["name"].as_str().unwrap(), field["type"].clone());
        for argument in field["args"].as_array().unwrap() {
            // The generator has no valid cursor.
            if argument["name"] == "after" && !self.one_in(20) {
                continue;
            }
            if let Some(value) = self.argument(&argument["type"], argument["name"].as_str().unwrap()) {
                selected.arguments.push((argument["name"].as_str().unwrap().to_owned(), value));
            }
        }
        let named = innermost(&field["type"]);
        if self.types[&named]["fields"].is_array() {
            if depth == 0 {
                return None;
            }
            selected.children = self.selection(&named, depth - 1);
        }
        if selected.name == "report" {
            self.add_what_is_checked(&mut selected, &named);
        }
        Some(selected)
    }

    fn add_what_is_checked(&mut self, report: &mut Field, named: &str) {
        for (name, alias, parts) in
            [("interval", "theInterval", ["start", "end"]), ("totals", "theTotals", ["views", "pages"])]
        {
            report.children.push(self.with_parts(named, name, alias, parts));
        }
        if self.one_in(3) {
            let mut groups = Field { of_type: self.type_of(named, "groups"), ..self.leaf("groups", Value::Null) };
            let of_group = innermost(&groups.of_type);
            groups.children = vec![self.with_parts(&of_group, "totals", "theTotals", ["views", "pages"])];
            report.children.push(groups);
        }
    }

    /// The field `name` of the type `named`, with leaves.
    fn with_parts(&mut self, named: &str, name: &str, alias: &str, parts: [&str; 2]) -> Field {
        let of_type = self.type_of(named, name);
        let children = parts.map(|part| Field { alias: part.to_owned(), ..self.leaf(part, Value::Null) });
        Field { alias: alias.to_owned(), children: children.into(), ..self.leaf(name, of_type) }
    }

    fn type_of(&self, named: &str, field: &str) -> Value {
        let fields = self.types[named]["fields"].as_array().unwrap();
        fields.iter().find(|known| known["name"] == field).unwrap()["type"].clone()
    }

    /// A value of the type `of`; nothing where it is nullable and left out.
    fn argument(&mut self, of: &Value, name: &str) -> Option<Literal> {
        match of["kind"].as_str().unwrap() {
            "NON_NULL" => Some(self.value(&of["ofType"], name)),
            _ if self.one_in(3) => None,
            _ if self.one_in(20) => Some(Literal::Json(Value::Null)),
            _ => Some(self.value(of, name)),
        }
    }

    fn value(&mut self, of: &Value, name: &str) -> Literal {
        match of["kind"].as_str().unwrap() {
            "NON_NULL" => self.value(&of["ofType"], name),
            "LIST" => Literal::List((0..self.draw(0..4)).map(|_| self.value(&of["ofType"], name)).collect()),
            "ENUM" => {
                let values = self.types[of["name"].as_str().unwrap()]["enumValues"].as_array().unwrap().clone();
                Literal::Enum(self.one_of(&values)["name"].as_str().unwrap().to_owned())
            }
            "INPUT_OBJECT" => self.object(of["name"].as_str().unwrap()),
            _ => Literal::Json(self.scalar(of["name"].as_str().unwrap(), name)),
        }
    }

    fn object(&mut self, name: &str) -> Literal {
        let kind = self.types[name].clone();
        let fields = kind["inputFields"].as_array().unwrap();
        let name = |field: &Value| field["name"].as_str().unwrap().to_owned();
        // Sometimes another number of fields than the one that a oneOf input must have.
        if kind["isOneOf"] == true && !self.one_in(40) {
            let field = self.one_of(fields).clone();
            return Literal::Object(vec![(name(&field), self.value(&field["type"], &name(&field)))]);
        }
        let values =
            fields.iter().filter_map(|field| Some((name(field), self.argument(&field["type"], &name(field))?)));
        Literal::Object(values.collect())
    }

    fn scalar(&mut self, of: &str, name: &str) -> Value {
        let wrong = self.one_in(40);
        match (of, name) {
            _ if wrong => self.one_of(&[json!(1.5), json!("x\u{0}"), json!(true), json!(-1), json!("")]).clone(),
            ("Int" | "SafeInt", _) => json!(self.one_of(&[0, 1, 2, 3, 10, 1_000, 1_001, i32::MAX])),
            ("DateTime", _) => {
                let at = self.first() + TimeDelta::minutes(self.draw(-100_000..60 * 24 * 600));
                let odd = [
                    "0001-01-01T00:00:00Z",
                    "9999-12-31T23:59:59Z",
                    "2024-02-29T12:00:00+05:45",
                    "1969-12-31T23:30:00Z",
                ];
                if self.one_in(8) { json!(self.one_of(&odd)) } else { json!(at.to_rfc3339()) }
            }
            ("String", "timeZone") => json!(self.one_of(chrono_tz::TZ_VARIANTS.as_slice()).name()),
            ("String", "group") => json!(self.one_of(&["old", "docs", "short", "but-blog", "none"])),
            ("Boolean", _) => json!(self.one_in(2)),
            _ => json!(self.one_of(&["/a", "/a/b", "/%_x", "/nowhere", "%", "a", "ä", "\"", "\\", "/", "'"])),
        }
    }
}

fn innermost(of: &Value) -> String {
    if of["ofType"].is_null() { of["name"].as_str().unwrap().to_owned() } else { innermost(&of["ofType"]) }
}
