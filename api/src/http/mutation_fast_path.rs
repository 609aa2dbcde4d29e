//! The one mutation as nearly every client sends it, answered without parsing, validating and executing its document
//! each time: `mutation ($input: RecordPageViewsInput!) { recordPageViews(input: $input) { ... } }`.
//!
//! Whatever is not exactly that goes the general way, and so does whatever is wrong with it. Both ways read the same
//! input type, check it by the same function and record it by the same handle; a test holds their answers equal.

use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_graphql::{
    Name, PathSegment, Pos, Positioned, ServerError,
    parser::{
        parse_query,
        types::{self, BaseType, DocumentOperations, ExecutableDocument, OperationType, Selection},
    },
};
use async_graphql_value::Value;
use lru::LruCache;
use serde::{
    Serialize, Serializer,
    de::{DeserializeSeed, Deserializer, Error, MapAccess, Visitor},
    ser::SerializeMap,
};
use serde_json::value::RawValue;

use super::query_limits;
use crate::schema::{MUTATION, MUTATION_INPUT, MUTATION_PAYLOAD, RecordPageViewsInput, RecordPageViewsPayload};

/// Documents are remembered if they are at most this long.
const DOCUMENT_BYTES_MAX: usize = 2 * 1024;
/// How many documents are remembered; a client has one or two.
const DOCUMENTS_MAX: NonZeroUsize = NonZeroUsize::new(256).unwrap();

/// Documents and what they come to, by their text.
#[derive(Debug)]
pub(super) struct FastPathMutations(Mutex<LruCache<Box<str>, Option<Arc<FastPathMutation>>>>);

/// A document of that form.
#[derive(Debug)]
pub(super) struct FastPathMutation {
    operation: Option<Name>,
    variable: Name,
    /// Where the field stands in the text, and under which name it is answered.
    pos: Pos,
    key: Name,
    /// What is selected of the payload, and under which names.
    selection: Vec<(Name, Selected)>,
}

#[derive(Copy, Clone, Debug)]
enum Selected {
    Increments,
    Views,
    RecordedAt,
    Duplicate,
    TypeName,
}

/// What is answered when it was recorded.
#[derive(Serialize)]
pub(super) struct Recorded<'a> {
    data: Field<'a>,
}

/// The one field of the answer.
struct Field<'a> {
    prepared: &'a FastPathMutation,
    payload: RecordPageViewsPayload,
}

/// What of it is selected.
struct Payload<'a>(&'a Field<'a>);

impl FastPathMutations {
    pub(super) fn new() -> Self {
        Self(Mutex::new(LruCache::new(DOCUMENTS_MAX)))
    }

    /// What the document of this text comes to, if it is of that form and its operation is the one that is meant.
    pub(super) fn get(&self, text: &str, operation: Option<&str>) -> Option<Arc<FastPathMutation>> {
        // Without a variable, values stand in the text: each would be another document.
        if text.len() > DOCUMENT_BYTES_MAX || !text.contains(MUTATION) || !text.contains('$') {
            return None;
        }
        let known = self.lock().get(text).cloned();
        let prepared = known.unwrap_or_else(|| {
            let parsed = query_limits::check_nesting(text).ok().and_then(|()| parse_query(text).ok());
            let prepared = parsed.and_then(|parsed| prepare(&parsed)).map(Arc::new);
            self.lock().put(text.into(), prepared.clone());
            prepared
        });
        prepared.filter(|prepared| operation.is_none() || operation == prepared.operation.as_deref())
    }

    fn lock(&self) -> MutexGuard<'_, LruCache<Box<str>, Option<Arc<FastPathMutation>>>> {
        // What a panicking thread left behind is at worst a document forgotten.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Nothing unless it is exactly of that form: then it is valid, too.
fn prepare(document: &ExecutableDocument) -> Option<FastPathMutation> {
    let (name, operation) = match &document.operations {
        DocumentOperations::Single(operation) => (None, operation),
        DocumentOperations::Multiple(operations) => {
            let (name, operation) = only(operations)?;
            (Some(name.clone()), operation)
        }
    };
    let operation = &operation.node;
    let is_plain = operation.directives.is_empty() && document.fragments.is_empty();
    let definition = &only(&operation.variable_definitions)?.node;
    let input = &definition.var_type.node;
    let is_input = matches!(&input.base, BaseType::Named(name) if name == MUTATION_INPUT) && !input.nullable;
    let field = plain_field(only(&operation.selection_set.node.items)?)?;
    let (argument, value) = only(&field.node.arguments)?;
    let variable = &definition.name.node;
    let is_sent = argument.node == "input" && matches!(&value.node, Value::Variable(name) if name == variable);
    let of_form = is_plain
        && is_input
        && is_sent
        && operation.ty == OperationType::Mutation
        && definition.default_value.is_none()
        && definition.directives.is_empty()
        && field.node.name.node == MUTATION;
    if !of_form {
        return None;
    }
    let mut selection: Vec<(Name, Selected)> = Vec::new();
    for item in &field.node.selection_set.node.items {
        let field = &plain_field(item)?.node;
        let key = &field.response_key().node;
        let is_leaf = field.arguments.is_empty() && field.selection_set.node.items.is_empty();
        // The same name twice is one answer, or an error.
        if !is_leaf || selection.iter().any(|(other, _)| other == key) {
            return None;
        }
        selection.push((key.clone(), Selected::of(&field.name.node)?));
    }
    let key = field.node.response_key().node.clone();
    let prepared = FastPathMutation { operation: name, variable: variable.clone(), pos: field.pos, key, selection };
    (!prepared.selection.is_empty()).then_some(prepared)
}

fn only<T>(items: impl IntoIterator<Item = T>) -> Option<T> {
    let mut items = items.into_iter();
    items.next().filter(|_| items.next().is_none())
}

fn plain_field(selection: &Positioned<Selection>) -> Option<&Positioned<types::Field>> {
    match &selection.node {
        Selection::Field(field) if field.node.directives.is_empty() => Some(field),
        _ => None,
    }
}

impl Selected {
    fn of(field: &str) -> Option<Self> {
        Some(match field {
            "increments" => Self::Increments,
            "views" => Self::Views,
            "recordedAt" => Self::RecordedAt,
            "duplicate" => Self::Duplicate,
            "__typename" => Self::TypeName,
            _ => return None,
        })
    }
}

impl FastPathMutation {
    /// The input in `variables`, if it is there, alone, and well-formed.
    pub(super) fn input(&self, variables: &RawValue) -> Option<RecordPageViewsInput> {
        let mut deserializer = serde_json::Deserializer::from_str(variables.get());
        SingleVariable(&self.variable).deserialize(&mut deserializer).ok()
    }

    /// The answer when it was recorded.
    pub(super) fn recorded(&self, payload: RecordPageViewsPayload) -> Recorded<'_> {
        Recorded { data: Field { prepared: self, payload } }
    }

    /// The error of the field when it was not.
    pub(super) fn failed(&self, failure: async_graphql::Error) -> ServerError {
        let path = vec![PathSegment::Field(self.key.to_string())];
        ServerError { path, ..failure.into_server_error(self.pos) }
    }
}

/// Reads an object that has this field and no other.
struct SingleVariable<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for SingleVariable<'_> {
    type Value = RecordPageViewsInput;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for SingleVariable<'_> {
    type Value = RecordPageViewsInput;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "the variable {} alone", self.0)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let key: Option<std::borrow::Cow<'de, str>> = map.next_key()?;
        if key.as_deref() != Some(self.0) {
            return Err(A::Error::missing_field("the variable"));
        }
        let input = map.next_value()?;
        match map.next_key::<std::borrow::Cow<'de, str>>()? {
            None => Ok(input),
            Some(_) => Err(A::Error::custom("there are other variables")),
        }
    }
}

impl Serialize for Field<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(Some(1))?;
        object.serialize_entry(self.prepared.key.as_str(), &Payload(self))?;
        object.end()
    }
}

impl Serialize for Payload<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Field { prepared, payload } = self.0;
        let mut object = serializer.serialize_map(Some(prepared.selection.len()))?;
        for (key, selected) in &prepared.selection {
            let key = key.as_str();
            match selected {
                Selected::Increments => object.serialize_entry(key, &payload.increments)?,
                Selected::Views => object.serialize_entry(key, &payload.views.0)?,
                Selected::RecordedAt => object.serialize_entry(key, &payload.recorded_at.to_rfc3339())?,
                Selected::Duplicate => object.serialize_entry(key, &payload.duplicate)?,
                Selected::TypeName => object.serialize_entry(key, MUTATION_PAYLOAD)?,
            }
        }
        object.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_prepared(document: &str) -> bool {
        FastPathMutations::new().get(document, None).is_some()
    }

    #[test]
    fn the_common_form_is_prepared() {
        for document in [
            "mutation ($input: RecordPageViewsInput!) { recordPageViews(input: $input) { recordedAt } }",
            "mutation Record($i: RecordPageViewsInput!) { a: recordPageViews(input: $i) { b: views __typename duplicate } }",
        ] {
            assert!(is_prepared(document), "{document}");
        }
    }

    #[test]
    fn every_other_form_is_not() {
        for document in [
            "mutation ($input: RecordPageViewsInput) { recordPageViews(input: $input) { recordedAt } }",
            "mutation ($input: RecordPageViewsInput! = {increments: []}) { recordPageViews(input: $input) { views } }",
            "query ($input: RecordPageViewsInput!) { recordPageViews(input: $input) { recordedAt } }",
            "mutation ($input: RecordPageViewsInput!) { recordPageViews(input: $other) { recordedAt } }",
            "mutation ($input: RecordPageViewsInput!) { recordPageViews(input: $input) { recordedAt @skip(if: true) } }",
            "mutation ($input: RecordPageViewsInput!) @a { recordPageViews(input: $input) { recordedAt } }",
            "mutation ($input: RecordPageViewsInput!) { recordPageViews(input: $input) { recordedAt recordedAt } }",
            "mutation ($input: RecordPageViewsInput!) { recordPageViews(input: $input) { nothing } }",
            "mutation ($input: RecordPageViewsInput!) { recordPageViews(input: $input) { views { a } } }",
            "mutation ($input: RecordPageViewsInput!) { recordPageViews(input: $input) }",
            "mutation ($input: RecordPageViewsInput!) { recordPageViews(input: $input) { ... on A { views } } }",
            "mutation ($input: RecordPageViewsInput!, $b: Int) { recordPageViews(input: $input) { views } }",
            "mutation ($input: RecordPageViewsInput!) { recordPageViews(input: {increments: $input}) { views } }",
            "mutation ($input: RecordPageViewsInput!) { a: recordPageViews(input: $input) { views } __typename }",
            "mutation A($input: RecordPageViewsInput!) { recordPageViews(input: $input) { views } } query B { __typename }",
        ] {
            assert!(!is_prepared(document), "{document}");
        }
    }

    #[test]
    fn another_operation_is_not_this_one() {
        let document = "mutation A($input: RecordPageViewsInput!) { recordPageViews(input: $input) { views } }";
        let prepared = FastPathMutations::new();
        assert!(prepared.get(document, Some("A")).is_some());
        assert!(prepared.get(document, Some("B")).is_none());
    }
}
