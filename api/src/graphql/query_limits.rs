//! Limits on a query's text, checked before validation, which is the first expensive step.

use std::collections::HashSet;

use async_graphql::{
    Positioned,
    parser::types::{Directive, ExecutableDocument, OperationDefinition, Selection, SelectionSet},
};

/// The most bytes of a query's text.
pub(crate) const QUERY_BYTES_MAX: usize = 64 * 1024;
/// The deepest nesting of brackets of any kind. The parser and every walk over its result recurse once per bracket: a
/// few thousand would overflow the stack and end the process.
const NESTING_MAX: usize = 64;
/// The deepest nesting of fields and fragments after fragments are expanded: the GraphQL library's own bound.
const DEPTH_MAX: usize = 32;
/// The most fields, fragments, arguments, directives and variables after fragments are expanded.
const PARTS_MAX: usize = 2_000;
/// The most fields that have an alias or are repeated: each is resolved anew.
pub(super) const ALIASES_MAX: usize = 100;

/// The limit that a query exceeds.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum QueryLimitExceeded {
    #[error("the query's brackets must not be nested deeper than {NESTING_MAX}")]
    Nesting,
    #[error("the query's fields and fragments must not be nested deeper than {DEPTH_MAX}")]
    Depth,
    #[error(
        "the query must have at most {PARTS_MAX} fields, arguments, directives and variables, those of fragments \
         counted wherever they are spread"
    )]
    Parts,
    #[error("the query must have at most {ALIASES_MAX} aliases and repeated fields")]
    Aliases,
}

/// Checks the nesting of brackets before the text is parsed.
pub(super) fn check_nesting(query: &str) -> Result<(), QueryLimitExceeded> {
    let mut rest = query.as_bytes();
    let mut depth = 0_usize;
    while let Some((byte, behind)) = rest.split_first() {
        rest = match byte {
            b'{' | b'[' | b'(' => {
                depth += 1;
                if depth > NESTING_MAX {
                    return Err(QueryLimitExceeded::Nesting);
                }
                behind
            }
            b'}' | b']' | b')' => {
                depth = depth.saturating_sub(1);
                behind
            }
            b'#' => behind_comment(behind),
            b'"' => behind_string(behind),
            _ => behind,
        };
    }
    Ok(())
}

fn behind_comment(text: &[u8]) -> &[u8] {
    let end = text.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
    end.map_or(&[], |end| &text[end..])
}

/// Returns the text after a string whose first quote stands before `text`, as the parser sees it.
fn behind_string(text: &[u8]) -> &[u8] {
    if let Some(block) = text.strip_prefix(b"\"\"") {
        // The parser reads a block string that is never closed as an empty string and the beginning of another.
        return behind_block(block).unwrap_or_else(|| &text[1..]);
    }
    let mut rest = text;
    while let Some((byte, behind)) = rest.split_first() {
        rest = match byte {
            b'"' | b'\n' | b'\r' => return behind,
            b'\\' => behind.get(1..).unwrap_or_default(),
            _ => behind,
        };
    }
    rest
}

fn behind_block(text: &[u8]) -> Option<&[u8]> {
    let mut rest = text;
    loop {
        rest = if let Some(behind) = rest.strip_prefix(b"\\\"\"\"") {
            behind
        } else if let Some(behind) = rest.strip_prefix(b"\"\"\"") {
            return Some(behind);
        } else {
            rest.split_first()?.1
        };
    }
}

/// Checks the size, depth and aliases of the document before it is validated.
pub(super) fn check_document(document: &ExecutableDocument) -> Result<(), QueryLimitExceeded> {
    let mut walk = Walk { document, parts: 0, aliases: 0 };
    for fragment in document.fragments.values() {
        walk.directives(&fragment.node.directives)?;
        walk.written(&fragment.node.selection_set.node)?;
    }
    for (_, operation) in document.operations.iter() {
        let operation = &operation.node;
        walk.directives(&operation.directives)?;
        for variable in &operation.variable_definitions {
            walk.count(1)?;
            walk.directives(&variable.node.directives)?;
        }
        walk.expand_fragments(&operation.selection_set.node, &mut HashSet::new(), 0)?;
    }
    Ok(())
}

/// Returns the names of the fields that the operation selects of its root, as often as they are selected. The document must
/// have passed [`check_document`]: its fragments have no cycles.
pub(super) fn root_fields<'a>(document: &'a ExecutableDocument, operation: &'a OperationDefinition) -> Vec<&'a str> {
    fn add<'a>(document: &'a ExecutableDocument, set: &'a SelectionSet, names: &mut Vec<&'a str>) {
        for selection in &set.items {
            match &selection.node {
                Selection::Field(field) => names.push(&field.node.name.node),
                Selection::FragmentSpread(spread) => {
                    // The validation refuses an unknown fragment.
                    if let Some(fragment) = document.fragments.get(&spread.node.fragment_name.node) {
                        add(document, &fragment.node.selection_set.node, names);
                    }
                }
                Selection::InlineFragment(fragment) => add(document, &fragment.node.selection_set.node, names),
            }
        }
    }
    let mut names = Vec::new();
    add(document, &operation.selection_set.node, &mut names);
    names
}

/// A count of a document's parts. It ends at the first limit exceeded, so it takes at most `PARTS_MAX` steps.
struct Walk<'a> {
    document: &'a ExecutableDocument,
    parts: usize,
    aliases: usize,
}

impl<'a> Walk<'a> {
    fn count(&mut self, parts: usize) -> Result<(), QueryLimitExceeded> {
        self.parts += parts;
        if self.parts > PARTS_MAX { Err(QueryLimitExceeded::Parts) } else { Ok(()) }
    }

    fn directives(&mut self, directives: &[Positioned<Directive>]) -> Result<(), QueryLimitExceeded> {
        directives.iter().try_for_each(|directive| self.count(1 + directive.node.arguments.len()))
    }

    /// Counts one selection without its subselections.
    fn selection(&mut self, selection: &Selection) -> Result<(), QueryLimitExceeded> {
        self.count(1)?;
        self.directives(selection.directives())?;
        if let Selection::Field(field) = selection { self.count(field.node.arguments.len()) } else { Ok(()) }
    }

    /// Counts a selection set as it is written: a fragment is validated even if nothing spreads it.
    fn written(&mut self, set: &SelectionSet) -> Result<(), QueryLimitExceeded> {
        set.items.iter().try_for_each(|selection| {
            self.selection(&selection.node)?;
            match &selection.node {
                Selection::Field(field) => self.written(&field.node.selection_set.node),
                Selection::FragmentSpread(_) => Ok(()),
                Selection::InlineFragment(fragment) => self.written(&fragment.node.selection_set.node),
            }
        })
    }

    /// Counts a selection set as it is executed. `keys` are the response keys selected of the same object so far.
    fn expand_fragments(
        &mut self,
        set: &'a SelectionSet,
        keys: &mut HashSet<&'a str>,
        depth: usize,
    ) -> Result<(), QueryLimitExceeded> {
        if depth > DEPTH_MAX && !set.items.is_empty() {
            return Err(QueryLimitExceeded::Depth);
        }
        let document = self.document;
        set.items.iter().try_for_each(|selection| {
            self.selection(&selection.node)?;
            match &selection.node {
                Selection::Field(field) => {
                    let field = &field.node;
                    let key = &field.response_key().node;
                    let again = !keys.insert(key) && field.name.node != "__typename";
                    self.aliases += usize::from(again || field.alias.is_some());
                    if self.aliases > ALIASES_MAX {
                        return Err(QueryLimitExceeded::Aliases);
                    }
                    self.expand_fragments(&field.selection_set.node, &mut HashSet::new(), depth + 1)
                }
                Selection::FragmentSpread(spread) => match document.fragments.get(&spread.node.fragment_name.node) {
                    Some(fragment) => self.expand_fragments(&fragment.node.selection_set.node, keys, depth + 1),
                    // The validation refuses an unknown fragment.
                    None => Ok(()),
                },
                Selection::InlineFragment(fragment) => {
                    self.expand_fragments(&fragment.node.selection_set.node, keys, depth + 1)
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::parser::parse_query;
    use proptest::prelude::*;

    use super::*;

    fn check(query: &str) -> Result<(), QueryLimitExceeded> {
        check_nesting(query)?;
        check_document(&parse_query(query).unwrap())
    }

    #[test]
    fn brackets_are_counted_where_the_parser_sees_them() {
        let deep = "[".repeat(30_000);
        let hidden = [
            format!("{{ a(b: \"{deep}\") }}"),
            format!("{{ a(b: \"\"\"\\\"\"\"{deep}\"\"\") }}"),
            format!("{{ a #{deep}\n }}"),
        ];
        for query in hidden {
            assert_eq!(check(&query), Ok(()), "{}", &query[..20]);
        }
        let seen = [
            format!("{{ a(b: {deep}"),
            format!("{{ a(b: \"\" {deep}"),
            format!("{{ a(b: \"\\\"\" {deep}"),
            format!("{{ a(b: \"\\\\\" {deep}"),
            format!("{{ a # \"\n(b: {deep}"),
            format!("{{ a # \"\r(b: {deep}"),
            format!("{{ a(b: [\"\"\"x\" {deep}"),
            format!("{{ a(b: \"\"\"\"\"\" {deep}"),
            format!("{{ a(b: {{c: {}", "{c: ".repeat(10_000)),
            format!("query ($a: {deep}"),
            "{a".repeat(10_000),
        ];
        for query in seen {
            assert_eq!(check_nesting(&query), Err(QueryLimitExceeded::Nesting), "{}", &query[..20]);
        }
        assert_eq!(check(&format!("{{ a(b: {}1{}) }}", "[".repeat(62), "]".repeat(62))), Ok(()));
        assert_eq!(
            check_nesting(&format!("{{ a(b: {}1{}) }}", "[".repeat(63), "]".repeat(63))),
            Err(QueryLimitExceeded::Nesting)
        );
    }

    proptest! {
        /// The parser survives every text that the check accepts.
        #[test]
        fn text_that_passes_the_check_is_parsed_safely(prefix in "[\"\\\\#\n a(:\\[\\]{}]{0,24}", unit in "[\"\\\\#\n a:\\[({]{1,6}") {
            let query = format!("{{ a(b: {prefix}{}", unit.repeat(60_000_usize.checked_div(unit.len()).unwrap_or(1)));
            if check_nesting(&query).is_ok() {
                drop(parse_query(&query));
            }
        }
    }

    #[test]
    fn fragments_count_wherever_they_are_spread() {
        let doubling: String = (0..30)
            .map(|level| format!("fragment F{level} on Query {{ ...F{next} ...F{next} }} ", next = level + 1))
            .collect();
        let query = format!("{{ ...F0 }} {doubling} fragment F30 on Query {{ __typename }}");
        assert_eq!(check(&query), Err(QueryLimitExceeded::Parts));
        let unused = format!("{{ a }} fragment F on Query {{ {} }}", "a ".repeat(2_000));
        assert_eq!(check(&unused), Err(QueryLimitExceeded::Parts));
        assert_eq!(
            check("{ ...A } fragment A on Query { ...B ...B } fragment B on Query { ...A ...A }"),
            Err(QueryLimitExceeded::Depth)
        );
        let chain: String =
            (0..40).map(|level| format!("fragment F{level} on Query {{ ...F{} }} ", level + 1)).collect();
        assert_eq!(
            check(&format!("{{ ...F0 }} {chain} fragment F40 on Query {{ a }}")),
            Err(QueryLimitExceeded::Depth)
        );
        assert_eq!(check("{ ...Unknown }"), Ok(()));
    }

    #[test]
    fn all_validated_parts_count() {
        for query in [
            format!("{{ a({}) }}", "b: 1 ".repeat(2_000)),
            format!("{{ a {} }}", "@skip(if: true) ".repeat(1_001)),
            format!("query ({}) {{ a }}", "$a: Int ".repeat(2_000)),
            format!("query {} {{ a }}", "@a ".repeat(2_000)),
            format!("query ($a: Int {}) {{ a }}", "@a ".repeat(2_000)),
            format!("{{ ...F }} fragment F on Query {} {{ a }}", "@a ".repeat(2_000)),
            format!("{{ {} }}", "... { __typename } ".repeat(1_001)),
            (0..1_001).map(|index| format!("query Q{index} {{ a b }} ")).collect(),
        ] {
            assert_eq!(check(&query), Err(QueryLimitExceeded::Parts), "{}", &query[..20]);
        }
    }

    #[test]
    fn aliases_and_repeated_fields_count() {
        let aliases = |count: usize| (0..count).map(|index| format!("a{index}: a ")).collect::<String>();
        assert_eq!(check(&format!("{{ {} }}", aliases(100))), Ok(()));
        assert_eq!(check(&format!("{{ {} }}", aliases(101))), Err(QueryLimitExceeded::Aliases));
        let repeated = |count: usize| "report { freshness { status } } ".repeat(count);
        assert_eq!(check(&format!("{{ {} }}", repeated(101))), Ok(()));
        assert_eq!(check(&format!("{{ {} }}", repeated(102))), Err(QueryLimitExceeded::Aliases));
        assert_eq!(
            check(&format!("{{ {} }}", "...F ".repeat(102) + "} fragment F on Query { a ")),
            Err(QueryLimitExceeded::Aliases)
        );
        assert_eq!(check(&format!("{{ {} }}", "__typename ".repeat(500))), Ok(()));
        // The same field of different objects is not repeated.
        let fields: String = (0..300).map(|index| format!("f{index} {{ a b }} ")).collect();
        assert_eq!(check(&format!("{{ {fields} }}")), Ok(()));
    }
}
