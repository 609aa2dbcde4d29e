//! Answers the mutation as nearly every client sends it, without parsing, validating and executing its document each
//! time: `mutation ($input: RecordPageViewsInput!) { recordPageViews(input: $input) { ... } }`.
//!
//! Any other form, and any malformed input, takes the general path. Both paths read the same input type, check it with
//! the same function and record it with the same handle; a test holds their responses equal.

use std::{
    fmt::Write,
    num::NonZeroUsize,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_graphql::{
    Name, PathSegment, Pos, Positioned, Response, ServerError,
    parser::{
        parse_query,
        types::{self, BaseType, DocumentOperations, ExecutableDocument, OperationType, Selection},
    },
};
use async_graphql_value::Value as Literal;
use increments::Recorder;
use lru::LruCache;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{
    query_limits,
    schema::{MUTATION, MUTATION_INPUT, MUTATION_PAYLOAD, RecordPageViewsInput, RecordPageViewsPayload},
};

/// The most bytes of a document that is cached.
const DOCUMENT_BYTES_MAX: usize = 2 * 1024;
/// The most documents that are cached, least recently used evicted first; a client has one or two.
const DOCUMENTS_MAX: NonZeroUsize = NonZeroUsize::new(256).unwrap();

/// A cache of parsed documents by their text; `None` for a document of another form.
#[derive(Debug)]
pub(super) struct FastPathCache(Mutex<LruCache<Box<str>, Option<Arc<FastPathMutation>>>>);

/// A document that has the form of the fast path.
#[derive(Debug)]
pub(super) struct FastPathMutation {
    operation: Option<Name>,
    variable: Name,
    /// The field's position in the text, and its response key.
    pos: Pos,
    key: Name,
    /// The selected fields of the payload with their response keys.
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

/// A mutation of the fast path with its input, and the handle that records it.
pub(crate) struct FastPathRequest {
    pub(super) recorder: Recorder,
    pub(super) mutation: Arc<FastPathMutation>,
    pub(super) input: RecordPageViewsInput,
}

impl Default for FastPathCache {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(DOCUMENTS_MAX)))
    }
}

impl FastPathCache {
    /// Returns the document of this text if it has the form of the fast path and `operation`, if any, names it.
    pub(super) fn get(&self, text: &str, operation: Option<&str>) -> Option<Arc<FastPathMutation>> {
        // Without a variable the values stand in the text: each request would be another document in the cache.
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
        // A cache that a panicking thread left behind lacks a document at worst.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the mutation if the document has exactly the form of the fast path; the document is then valid, too.
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
    let is_sent = argument.node == "input" && matches!(&value.node, Literal::Variable(name) if name == variable);
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
        // The same response key twice is one field to be merged, or an error: the general path decides.
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
    /// Returns the mutation with the input in `variables`, if it is well-formed and there are no other variables.
    pub(super) fn with_input(self: Arc<Self>, variables: &RawValue, recorder: Recorder) -> Option<FastPathRequest> {
        let mut deserializer = serde_json::Deserializer::from_str(variables.get());
        let input = SingleVariable(&self.variable).deserialize(&mut deserializer).ok()?;
        Some(FastPathRequest { recorder, mutation: self, input })
    }

    /// Returns the response to a mutation that was recorded, as JSON. Names of GraphQL need no escapes.
    pub(super) fn recorded(&self, payload: &RecordPageViewsPayload) -> String {
        let mut text = format!(r#"{{"data":{{"{}":{{"#, self.key);
        for (index, (key, selected)) in self.selection.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let written = match selected {
                Selected::Increments => write!(text, r#"{comma}"{key}":{}"#, payload.increments),
                Selected::Views => write!(text, r#"{comma}"{key}":{}"#, payload.views.0),
                Selected::RecordedAt => write!(text, r#"{comma}"{key}":"{}""#, payload.recorded_at.to_rfc3339()),
                Selected::Duplicate => write!(text, r#"{comma}"{key}":{}"#, payload.duplicate),
                Selected::TypeName => write!(text, r#"{comma}"{key}":"{MUTATION_PAYLOAD}""#),
            };
            debug_assert!(written.is_ok(), "writing to a text never fails");
        }
        text.push_str("}}}");
        text
    }

    /// Returns the response to a mutation that was not recorded.
    pub(super) fn failed(&self, failure: async_graphql::Error) -> Response {
        let path = vec![PathSegment::Field(self.key.to_string())];
        Response::from_errors(vec![ServerError { path, ..failure.into_server_error(self.pos) }])
    }
}

/// A deserializer of an object that has this one field and no other.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn is_prepared(document: &str) -> bool {
        FastPathCache::default().get(document, None).is_some()
    }

    #[test]
    fn common_form_takes_the_fast_path() {
        for document in [
            "mutation ($input: RecordPageViewsInput!) { recordPageViews(input: $input) { recordedAt } }",
            "mutation Record($i: RecordPageViewsInput!) { a: recordPageViews(input: $i) { b: views __typename duplicate } }",
        ] {
            assert!(is_prepared(document), "{document}");
        }
    }

    #[test]
    fn every_other_form_takes_the_general_path() {
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
    fn operation_name_must_name_the_mutation() {
        let document = "mutation A($input: RecordPageViewsInput!) { recordPageViews(input: $input) { views } }";
        let prepared = FastPathCache::default();
        assert!(prepared.get(document, Some("A")).is_some());
        assert!(prepared.get(document, Some("B")).is_none());
    }
}
