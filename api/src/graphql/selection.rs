//! Collects fields as the specification says, where the GraphQL library differs from it:
//! <https://spec.graphql.org/September2025/#sec-Field-Collection>
//!
//! async-graphql 7.2 returns the fields of an object in the order in which their resolvers finish, takes a variable
//! without a value for null in `@skip` and `@include` even if it has a default value, and finds the root fields of a
//! subscription only where they stand directly in the operation, not in fragments.

use std::{fmt, sync::Arc};

use async_graphql::{
    Name, Positioned, Response, Value, Variables,
    indexmap::IndexMap,
    parser::types::{
        Directive, ExecutableDocument, Field, InlineFragment, OperationDefinition, Selection, SelectionSet,
    },
};

/// The response keys of an object in the order in which they are selected, each with the keys of the objects in it.
///
/// The schema has neither interfaces nor unions, so every valid fragment applies.
#[derive(Clone, Debug, Default)]
pub(super) struct FieldOrder(IndexMap<Name, FieldOrder>);

impl FieldOrder {
    /// Returns the order in `operation`. The document was checked before: its fragments have no cycles.
    pub(super) fn of(document: &ExecutableDocument, operation: &OperationDefinition, variables: &Variables) -> Self {
        let mut order = Self::default();
        order.collect(&Collected { document, variables }, &operation.selection_set.node);
        order
    }

    fn collect(&mut self, collected: &Collected<'_>, set: &SelectionSet) {
        collected.for_each_field(set, &mut |field| {
            let field = &field.node;
            self.0.entry(field.response_key().node.clone()).or_default().collect(collected, &field.selection_set.node);
        });
    }

    /// Returns the order of the fields below these response keys.
    pub(super) fn below(&self, keys: &[&Name]) -> Option<&Self> {
        keys.iter().try_fold(self, |order, key| order.0.get(*key))
    }

    /// Returns the response with its fields in this order.
    pub(super) fn sorted(&self, mut response: Response) -> Response {
        self.apply(&mut response.data);
        response
    }

    /// Sorts the fields of `data`, and of the objects in it, into this order.
    pub(super) fn apply(&self, data: &mut Value) {
        match data {
            Value::Object(fields) => {
                for (key, value) in fields.iter_mut() {
                    if let Some(order) = self.0.get(key).filter(|order| !order.0.is_empty()) {
                        order.apply(value);
                    }
                }
                if !fields.keys().eq(self.0.keys()) {
                    fields.sort_by_cached_key(|key, _| self.0.get_index_of(key));
                }
            }
            Value::List(items) => items.iter_mut().for_each(|item| self.apply(item)),
            _ => {}
        }
    }
}

/// Which fields of a subscription's event show the freshness, where the event is a report and they are one object of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ShownFreshness {
    /// The response keys of the report and of its freshness.
    pub(super) report: Name,
    pub(super) freshness: Name,
    /// A query of the same fields of the freshness, which has the response key `freshness` there.
    pub(super) query: Arc<str>,
}

/// How a report shows its freshness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FreshnessUse {
    Nowhere,
    Once(ShownFreshness),
    /// In several objects, or in objects below the report's own.
    Elsewhere,
}

impl FreshnessUse {
    /// Returns how a subscription shows the freshness; `None` if its root field is not a report. The document was checked before.
    pub(super) fn of(
        document: &ExecutableDocument,
        operation: &OperationDefinition,
        variables: &Variables,
    ) -> Option<Self> {
        let collected = Collected { document, variables };
        let roots = collected.fields(&[&operation.selection_set.node]);
        let (report, root) = roots.first().filter(|(_, root)| root.name == "report")?;
        let fields = collected.fields(&root.sets);
        let is_freshness = |field: &MergedField<'_>| field.name == "freshness";
        let mut others = fields.values().filter(|field| !is_freshness(field));
        if others.any(|field| collected.shows(field, "freshness")) {
            return Some(Self::Elsewhere);
        }
        let mut shown = fields.iter().filter(|(_, field)| is_freshness(field));
        let Some((freshness, field)) = shown.next() else { return Some(Self::Nowhere) };
        Some(match collected.text(&field.sets) {
            Some(fields) if shown.next().is_none() => Self::Once(ShownFreshness {
                report: report.clone(),
                freshness: freshness.clone(),
                query: format!("{{freshness{fields}}}").into(),
            }),
            _ => Self::Elsewhere,
        })
    }
}

/// Sets the default values that `operation` has for variables without a value in the request.
pub(super) fn set_default_values(operation: &OperationDefinition, variables: &mut Variables) {
    for definition in &operation.variable_definitions {
        let definition = &definition.node;
        if let Some(value) = &definition.default_value {
            variables.entry(definition.name.node.clone()).or_insert_with(|| value.node.clone());
        }
    }
}

/// The response keys of a subscription's root fields where these are not exactly one field of the service.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RootFields(Vec<Name>);

impl fmt::Display for RootFields {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a subscription must select exactly one root field of the service, this one selects ")?;
        match self.0.as_slice() {
            [] => formatter.write_str("none"),
            keys => formatter.write_str(&keys.join(", ")),
        }
    }
}

/// Returns a subscription's selection with its one root field, merged from all selections of it, directly in the
/// operation, where the GraphQL library looks for it. The selection as written stays beside it, to be validated, and
/// counts twice for its complexity. Returns `None` if the field stands directly in the operation already.
///
/// Errs when the root fields are not exactly one field of the service.
pub(super) fn with_plain_root_field(
    document: &ExecutableDocument,
    operation: &OperationDefinition,
    variables: &Variables,
) -> Result<Option<SelectionSet>, RootFields> {
    let written = &operation.selection_set;
    let mut roots: IndexMap<Name, Positioned<Field>> = IndexMap::new();
    Collected { document, variables }.for_each_field(&written.node, &mut |field| {
        let key = field.node.response_key().node.clone();
        match roots.get_mut(&key) {
            Some(root) => {
                let more = field.node.selection_set.node.items.iter().cloned();
                root.node.selection_set.node.items.extend(more);
            }
            None => drop(roots.insert(key, field.clone())),
        }
    });
    // The introspection fields have no events.
    let is_introspection = |root: &Positioned<Field>| root.node.name.node.starts_with("__");
    if roots.len() != 1 || roots.values().any(is_introspection) {
        return Err(RootFields(roots.into_keys().collect()));
    }
    if let [Positioned { node: Selection::Field(_), .. }] = written.node.items.as_slice() {
        return Ok(None);
    }
    let merged = roots.into_values().map(|mut root| {
        root.node.directives.clear();
        Positioned::new(Selection::Field(root.clone()), root.pos)
    });
    let as_written = InlineFragment { type_condition: None, directives: Vec::new(), selection_set: written.clone() };
    let as_written = Positioned::new(Selection::InlineFragment(Positioned::new(as_written, written.pos)), written.pos);
    Ok(Some(SelectionSet { items: merged.chain([as_written]).collect() }))
}

/// A field of an object, from all its selections.
struct MergedField<'a> {
    name: &'a str,
    has_arguments: bool,
    sets: Vec<&'a SelectionSet>,
}

/// The document and the variables that determine which fields are collected.
struct Collected<'a> {
    document: &'a ExecutableDocument,
    variables: &'a Variables,
}

impl<'a> Collected<'a> {
    /// Visits the fields of one object, those of fragments where they are spread.
    fn for_each_field(&self, set: &'a SelectionSet, visit: &mut impl FnMut(&'a Positioned<Field>)) {
        let included = set.items.iter().filter(|selection| self.includes(selection.node.directives()));
        for selection in included {
            match &selection.node {
                Selection::Field(field) => visit(field),
                Selection::FragmentSpread(spread) => {
                    // The validation refuses an unknown fragment.
                    if let Some(fragment) = self.document.fragments.get(&spread.node.fragment_name.node) {
                        self.for_each_field(&fragment.node.selection_set.node, visit);
                    }
                }
                Selection::InlineFragment(fragment) => {
                    self.for_each_field(&fragment.node.selection_set.node, visit);
                }
            }
        }
    }

    /// Returns the fields of one object by their response keys, those of the same key as one.
    fn fields(&self, sets: &[&'a SelectionSet]) -> IndexMap<Name, MergedField<'a>> {
        let mut fields: IndexMap<Name, MergedField<'a>> = IndexMap::new();
        for set in sets {
            self.for_each_field(set, &mut |field| {
                let field = &field.node;
                let merged = fields.entry(field.response_key().node.clone()).or_insert_with(|| MergedField {
                    name: field.name.node.as_str(),
                    has_arguments: !field.arguments.is_empty(),
                    sets: Vec::new(),
                });
                merged.sets.push(&field.selection_set.node);
            });
        }
        fields
    }

    /// Returns whether a field below `field` has this name.
    fn shows(&self, field: &MergedField<'a>, name: &str) -> bool {
        self.fields(&field.sets).values().any(|field| field.name == name || self.shows(field, name))
    }

    /// Returns the selection of an object's fields without fragments and directives, or `None` if a field has arguments.
    fn text(&self, sets: &[&'a SelectionSet]) -> Option<String> {
        let fields = self.fields(sets);
        if fields.is_empty() {
            return Some(String::new());
        }
        let mut text = String::from("{");
        for (key, field) in &fields {
            if field.has_arguments {
                return None;
            }
            text.push_str(&format!("{key}:{}{} ", field.name, self.text(&field.sets)?));
        }
        text.push('}');
        Some(text)
    }

    /// Returns whether `@skip` and `@include` admit the selection. The validation refuses an `if` that is no boolean.
    fn includes(&self, directives: &[Positioned<Directive>]) -> bool {
        directives.iter().all(|directive| {
            let directive = &directive.node;
            let wanted = match directive.name.node.as_str() {
                "include" => true,
                "skip" => false,
                _ => return true,
            };
            let Some(condition) = directive.get_argument("if") else { return true };
            let value = condition.node.clone().into_const_with(|name| self.variables.get(&name).cloned().ok_or(()));
            !matches!(value, Ok(Value::Boolean(value)) if value != wanted)
        })
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::{parser::parse_query, value};

    use super::*;

    fn with_operation<T>(
        query: &str,
        variables: Value,
        test: impl Fn(&ExecutableDocument, &OperationDefinition, &Variables) -> T,
    ) -> T {
        let document = parse_query(query).unwrap();
        let operation = &document.operations.iter().next().unwrap().1.node;
        let mut variables = Variables::from_value(variables);
        set_default_values(operation, &mut variables);
        test(&document, operation, &variables)
    }

    fn ordered(query: &str, variables: Value, mut data: Value) -> String {
        with_operation(query, variables, FieldOrder::of).apply(&mut data);
        data.to_string()
    }

    #[test]
    fn fields_are_in_the_order_of_the_selection() {
        let data = || value!({ "c": [{ "y": 1, "x": 2 }, null], "b": 1, "a": { "x": 1, "y": 2 } });
        for (query, expected) in [
            ("{ a { y x } b c { x y } }", "{a: {y: 2, x: 1}, b: 1, c: [{x: 2, y: 1}, null]}"),
            ("{ b: z c { x } a { x } c { y } a { y } }", "{b: 1, c: [{x: 2, y: 1}, null], a: {x: 1, y: 2}}"),
            (
                "{ ...F a { x } } fragment F on Q { ... { c { y x } } a { y } b }",
                "{c: [{y: 1, x: 2}, null], a: {y: 2, x: 1}, b: 1}",
            ),
            (
                "query ($no: Boolean = false) { b @include(if: $no) a { x y } b c { x y } }",
                "{a: {x: 1, y: 2}, b: 1, c: [{x: 2, y: 1}, null]}",
            ),
            (
                "{ b @skip(if: true) ... @skip(if: false) { a { x y } } b c { x y } }",
                "{a: {x: 1, y: 2}, b: 1, c: [{x: 2, y: 1}, null]}",
            ),
        ] {
            assert_eq!(ordered(query, value!({}), data()), expected, "{query}");
        }
    }

    #[test]
    fn request_variables_override_default_values() {
        let query = "query ($v: Boolean = true) { b @include(if: $v) a b }";
        assert_eq!(ordered(query, value!({}), value!({ "a": 1, "b": 2 })), "{b: 2, a: 1}");
        assert_eq!(ordered(query, value!({ "v": false }), value!({ "b": 2, "a": 1 })), "{a: 1, b: 2}");
    }

    #[test]
    fn freshness_of_a_report_is_found_where_it_is_one_object() {
        let of = |query: &str| with_operation(query, value!({ "no": false }), FreshnessUse::of);
        for (query, report, freshness, selected) in [
            (
                "subscription { report { freshness { asOf } totals { views } } }",
                "report",
                "freshness",
                "{freshness{asOf:asOf }}",
            ),
            (
                "subscription { r: report { f: freshness { a: asOf, __typename } } }",
                "r",
                "f",
                "{freshness{a:asOf __typename:__typename }}",
            ),
            (
                "subscription { ...R } fragment R on S { report { freshness { asOf } ... { freshness { ...F } } } } \
                 fragment F on X { status no: asOf @include(if: $no) progress { hours } }",
                "report",
                "freshness",
                "{freshness{asOf:asOf status:status progress:progress{hours:hours } }}",
            ),
        ] {
            let (report, freshness, query_of) = (Name::new(report), Name::new(freshness), selected.into());
            let shown = ShownFreshness { report, freshness, query: query_of };
            assert_eq!(of(query), Some(FreshnessUse::Once(shown)), "{query}");
        }
        for query in [
            "subscription { report { totals { views } } }",
            "subscription { report { totals { freshness: views } freshness @skip(if: true) { asOf } } }",
        ] {
            assert_eq!(of(query), Some(FreshnessUse::Nowhere), "{query}");
        }
        for query in [
            "subscription { report { freshness { asOf } f: freshness { asOf } } }",
            "subscription { report { site { ...F } freshness { asOf } } } fragment F on Report { freshness { asOf } }",
            "subscription { report { freshness { asOf(zone: UTC) } } }",
        ] {
            assert_eq!(of(query), Some(FreshnessUse::Elsewhere), "{query}");
        }
        for query in ["subscription { freshness { asOf } }", "subscription { report: job { freshness { asOf } } }"] {
            assert_eq!(of(query), None, "{query}");
        }
    }

    #[test]
    fn subscription_has_exactly_one_root_field_also_in_fragments() {
        let root = |query: &str| {
            with_operation(query, value!({ "no": false }), with_plain_root_field).map(|rewritten| {
                rewritten.map(|set| match &set.items.first().unwrap().node {
                    Selection::Field(field) => field.node.selection_set.node.items.len(),
                    other => panic!("{other:?}"),
                })
            })
        };
        assert_eq!(root("subscription { a { x y } }"), Ok(None), "the field stands in the operation");
        for (query, selected) in [
            ("subscription { ...F } fragment F on S { a { x } }", 1),
            ("subscription { ... { a { x } } }", 1),
            ("subscription { a { x } a { y } }", 2),
            ("subscription { a { x } ... on S @include(if: true) { a { y z } } b @include(if: false) }", 3),
            ("subscription { b @include(if: $no) a { x } }", 1),
        ] {
            assert_eq!(root(query), Ok(Some(selected)), "{query}");
        }
        for (query, keys) in [
            ("subscription { a b }", vec!["a", "b"]),
            ("subscription { a b: a }", vec!["a", "b"]),
            ("subscription { a ...F } fragment F on S { ... { b } }", vec!["a", "b"]),
            ("subscription { a @skip(if: true) }", vec![]),
            ("subscription { ...Unknown }", vec![]),
            ("subscription { __typename }", vec!["__typename"]),
            ("subscription { ... { a: __schema { description } } }", vec!["a"]),
        ] {
            let keys: Vec<_> = keys.into_iter().map(Name::new).collect();
            assert_eq!(root(query), Err(RootFields(keys)), "{query}");
        }
    }
}
