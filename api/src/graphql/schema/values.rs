//! Checks the values that an operation gives as arguments, before the GraphQL library does: the library's errors do not
//! say which form a wrong value should have, and some do not say where it stands.

use std::{
    borrow::Cow,
    cell::RefCell,
    collections::{HashMap, HashSet},
    fmt::{self, Display},
};

use async_graphql::{
    Name, Pos, Positioned, Request, ScalarType, ServerError, Value as Sent, Variables,
    parser::{
        parse_schema,
        types::{
            BaseType, Directive, ExecutableDocument, InputObjectType, InputValueDefinition, OperationDefinition,
            OperationType, SchemaDefinition, Selection, SelectionSet, Type, TypeKind, TypeSystemDefinition,
        },
    },
};
use async_graphql_value::Value as Literal;
use chrono::{DateTime, Utc};

use super::{errors::error, scalars::SafeInt};
use crate::error_code::Code;

/// The most characters of a wrong value that an error repeats.
const SHOWN_CHARACTERS_MAX: usize = 64;

/// The fields, arguments and input types of a schema.
#[derive(Debug, Default)]
pub(super) struct InputTypes {
    types: HashMap<Name, TypeKind>,
    directives: HashMap<Name, Vec<Positioned<InputValueDefinition>>>,
    one_of: Vec<Name>,
    root: Option<SchemaDefinition>,
}

/// A value given in the document or in a variable.
#[derive(Copy, Clone)]
enum Given<'a> {
    Literal(&'a Literal),
    Sent(&'a Sent),
}

/// The path to a value, such as `input.increments[0].at`.
struct ValuePath<'a> {
    parent: Option<&'a ValuePath<'a>>,
    segment: Segment<'a>,
}

enum Segment<'a> {
    Name(&'a str),
    Index(usize),
}

/// The check of one operation and its variables.
struct Check<'a> {
    /// The variables found valid, with the types they were used as: a long one may be used many times.
    checked: RefCell<HashSet<(Name, String)>>,
    inputs: &'a InputTypes,
    document: &'a ExecutableDocument,
    operation: &'a OperationDefinition,
    variables: &'a Variables,
}

impl InputTypes {
    /// Reads the types of a schema in the schema definition language.
    pub(super) fn of(sdl: &str) -> Self {
        let mut found = Self::default();
        for definition in parse_schema(sdl).map(|schema| schema.definitions).unwrap_or_default() {
            match definition {
                TypeSystemDefinition::Schema(schema) => found.root = Some(schema.node),
                TypeSystemDefinition::Directive(directive) => {
                    found.directives.insert(directive.node.name.node, directive.node.arguments);
                }
                TypeSystemDefinition::Type(definition) => {
                    let definition = definition.node;
                    if definition.directives.iter().any(|directive| directive.node.name.node == "oneOf") {
                        found.one_of.push(definition.name.node.clone());
                    }
                    found.types.insert(definition.name.node, definition.kind);
                }
            }
        }
        found
    }

    /// Errs with the first wrong value of the operation to execute. The document was checked before: its fragments have
    /// no cycles.
    pub(super) fn check(&self, request: &mut Request) -> Result<(), ServerError> {
        let variables = std::mem::take(&mut request.variables);
        let name = request.operation_name.clone();
        let checked = request.parsed_query().and_then(|document| {
            let mut operations = document.operations.iter();
            let meant = operations.find(|(found, _)| {
                name.is_none() || found.is_some_and(|found| Some(found.as_str()) == name.as_deref())
            });
            // The library refuses a request whose operation can't be found.
            let Some((_, operation)) = meant else { return Ok(()) };
            let (operation, checked) = (&operation.node, RefCell::default());
            Check { checked, inputs: self, document, operation, variables: &variables }.operation()
        });
        request.variables = variables;
        checked
    }

    fn root(&self, kind: OperationType) -> Option<&Name> {
        let root = self.root.as_ref()?;
        let name = match kind {
            OperationType::Query => &root.query,
            OperationType::Mutation => &root.mutation,
            OperationType::Subscription => &root.subscription,
        };
        name.as_ref().map(|name| &name.node)
    }

    /// Returns the arguments of a field, and the name of its type.
    fn field(&self, object: &Name, field: &Name) -> Option<(&[Positioned<InputValueDefinition>], &Name)> {
        let TypeKind::Object(object) = self.types.get(object)? else { return None };
        let field = &object.fields.iter().find(|known| known.node.name.node == *field)?.node;
        Some((&field.arguments, named(&field.ty.node)))
    }
}

/// Returns the name of a type, or of the items if it is a list.
fn named(ty: &Type) -> &Name {
    match &ty.base {
        BaseType::Named(name) => name,
        BaseType::List(item) => named(item),
    }
}

impl Check<'_> {
    fn operation(&self) -> Result<(), ServerError> {
        for definition in &self.operation.variable_definitions {
            let variable = &definition.node;
            if let Some(default) = &variable.default_value {
                let name = format!("the default of ${}", variable.name.node);
                let place = ValuePath { parent: None, segment: Segment::Name(&name) };
                self.value(&variable.var_type.node, Given::Sent(&default.node), &place)
                    .map_err(|wrong| invalid(wrong, default.pos))?;
            }
        }
        self.directives(&self.operation.directives)?;
        let root = self.inputs.root(self.operation.ty);
        root.map_or(Ok(()), |root| self.selections(&self.operation.selection_set.node, root, true))
    }

    fn selections(&self, set: &SelectionSet, object: &Name, is_root: bool) -> Result<(), ServerError> {
        for selection in &set.items {
            self.directives(selection.node.directives())?;
            match &selection.node {
                Selection::Field(field) => {
                    let field = &field.node;
                    // The library refuses a field that the schema does not have.
                    let Some((arguments, answer)) = self.inputs.field(object, &field.name.node) else { continue };
                    let name = ValuePath { parent: None, segment: Segment::Name(&field.name.node) };
                    let parent = (!is_root).then_some(&name);
                    self.arguments(arguments, &field.arguments, parent, selection.pos)?;
                    self.selections(&field.selection_set.node, answer, false)?;
                }
                Selection::FragmentSpread(spread) => {
                    if let Some(fragment) = self.document.fragments.get(&spread.node.fragment_name.node) {
                        let fragment = &fragment.node;
                        self.selections(&fragment.selection_set.node, &fragment.type_condition.node.on.node, is_root)?;
                    }
                }
                Selection::InlineFragment(fragment) => {
                    let condition = fragment.node.type_condition.as_ref();
                    let object = condition.map_or(object, |condition| &condition.node.on.node);
                    self.selections(&fragment.node.selection_set.node, object, is_root)?;
                }
            }
        }
        Ok(())
    }

    fn directives(&self, directives: &[Positioned<Directive>]) -> Result<(), ServerError> {
        directives.iter().try_for_each(|directive| {
            let Some(arguments) = self.inputs.directives.get(&directive.node.name.node) else { return Ok(()) };
            let name = format!("@{}", directive.node.name.node);
            let place = ValuePath { parent: None, segment: Segment::Name(&name) };
            self.arguments(arguments, &directive.node.arguments, Some(&place), directive.pos)
        })
    }

    fn arguments(
        &self,
        known: &[Positioned<InputValueDefinition>],
        given: &[(Positioned<Name>, Positioned<Literal>)],
        parent: Option<&ValuePath<'_>>,
        pos: Pos,
    ) -> Result<(), ServerError> {
        known.iter().map(|argument| &argument.node).try_for_each(|argument| {
            let place = ValuePath { parent, segment: Segment::Name(&argument.name.node) };
            match given.iter().find(|(name, _)| name.node == argument.name.node) {
                Some((name, value)) => self
                    .value(&argument.ty.node, Given::Literal(&value.node), &place)
                    .map_err(|wrong| invalid(wrong, name.pos)),
                None if is_needed(argument) => Err(invalid(format!("{place} must be given"), pos)),
                None => Ok(()),
            }
        })
    }

    /// Checks one value. The error says in words what is wrong with it.
    fn value(&self, ty: &Type, given: Given<'_>, place: &ValuePath<'_>) -> Result<(), String> {
        let given = match given {
            Given::Literal(Literal::Variable(name)) => {
                let mut definitions = self.operation.variable_definitions.iter().map(|definition| &definition.node);
                // The library refuses a variable that is not defined.
                let Some(definition) = definitions.find(|definition| definition.name.node == *name) else {
                    return Ok(());
                };
                let sent = self.variables.get(name).or_else(|| definition.default_value());
                let sent = sent.ok_or_else(|| format!("{place} must be given: the variable ${name} is missing"))?;
                // The first wrong value ends the whole check, so a variable checked before is valid.
                if !self.checked.borrow_mut().insert((name.clone(), ty.to_string())) {
                    return Ok(());
                }
                Given::Sent(sent)
            }
            given => given,
        };
        if given.is_null() {
            return if ty.nullable { Ok(()) } else { Err(format!("{place} must not be null")) };
        }
        match &ty.base {
            BaseType::Named(name) => self.named(name, given, place),
            BaseType::List(item) => match given.items() {
                Some(mut items) => items.try_for_each(|(index, value)| {
                    self.value(item, value, &ValuePath { parent: Some(place), segment: Segment::Index(index) })
                }),
                // A single value stands for a list of one.
                None => self.value(item, given, place),
            },
        }
    }

    fn named(&self, name: &Name, given: Given<'_>, place: &ValuePath<'_>) -> Result<(), String> {
        match self.inputs.types.get(name) {
            Some(TypeKind::InputObject(object)) => self.object(name, object, given, place),
            Some(TypeKind::Enum(known)) => {
                let is_known = match &*given.leaf() {
                    Sent::Enum(sent) => known.values.iter().any(|value| value.node.value.node == *sent),
                    Sent::String(sent) => known.values.iter().any(|value| value.node.value.node == *sent),
                    _ => false,
                };
                let names = || known.values.iter().map(|value| value.node.value.node.as_str());
                is_known.then_some(()).ok_or_else(|| must_be(place, format!("one of {}", listed(names())), given))
            }
            // GraphQL's built-in scalars are not defined in the schema.
            Some(TypeKind::Scalar) | None => {
                let (is_valid, form) = scalar(name);
                is_valid(&given.leaf()).then_some(()).ok_or_else(|| must_be(place, form, given))
            }
            // These are output types, which no argument has.
            Some(TypeKind::Object(_) | TypeKind::Interface(_) | TypeKind::Union(_)) => Ok(()),
        }
    }

    fn object(
        &self,
        name: &Name,
        object: &InputObjectType,
        given: Given<'_>,
        place: &ValuePath<'_>,
    ) -> Result<(), String> {
        let names = || listed(object.fields.iter().map(|field| field.node.name.node.as_str()));
        let is_one_of = self.inputs.one_of.contains(name);
        let form = || format!("an object with {} {}", if is_one_of { "exactly one of" } else { "the fields" }, names());
        let Some(fields) = given.fields() else { return Err(must_be(place, form(), given)) };
        let mut count = 0;
        for (field, value) in fields {
            let place = ValuePath { parent: Some(place), segment: Segment::Name(field) };
            let known = object.fields.iter().find(|known| known.node.name.node == *field);
            let Some(known) = known else {
                return Err(format!("{place} is not a field of {name}, which has {}", names()));
            };
            let known = &known.node.ty.node;
            match is_one_of {
                // Each field may be left out, but the one that is given must not be null.
                true => self.value(&Type { nullable: false, base: known.base.clone() }, value, &place)?,
                false => self.value(known, value, &place)?,
            }
            count += 1;
        }
        if is_one_of && count != 1 {
            return Err(format!("{place} must be {}, not with {count}", form()));
        }
        let missing = object.fields.iter().map(|field| &field.node);
        match missing.into_iter().find(|field| is_needed(field) && !given.has(&field.name.node)) {
            Some(field) => Err(format!("{place}.{} must be given", field.name.node)),
            None => Ok(()),
        }
    }
}

fn is_needed(definition: &InputValueDefinition) -> bool {
    !definition.ty.node.nullable && definition.default_value.is_none()
}

fn invalid(message: String, pos: Pos) -> ServerError {
    error(Code::BadUserInput, message).into_server_error(pos)
}

fn must_be(place: &ValuePath<'_>, form: impl Display, given: Given<'_>) -> String {
    format!("{place} must be {form}, not {}", given.shown())
}

fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

/// Returns the check for values of a scalar, and the scalar's form in words.
fn scalar(name: &str) -> (fn(&Sent) -> bool, Cow<'static, str>) {
    match name {
        "DateTime" => (is_date_time, "an RFC 3339 time with an offset from UTC, such as 2026-11-20T10:00:00Z".into()),
        "SafeInt" => (SafeInt::is_valid, "a whole number from -(2^53 - 1) to 2^53 - 1".into()),
        "Int" => (is_int, format!("a whole number from {} to {}", i32::MIN, i32::MAX).into()),
        "Float" => (f64::is_valid, "a number".into()),
        "Boolean" => (bool::is_valid, "true or false".into()),
        "ID" => (async_graphql::ID::is_valid, "a string or a whole number".into()),
        "String" => (String::is_valid, "a string".into()),
        // The resolver checks values of any other scalar.
        other => (|_value| true, format!("a {other}").into()),
    }
}

/// Returns whether the resolvers can read the time; they accept a little more than RFC 3339 allows.
fn is_date_time(value: &Sent) -> bool {
    matches!(value, Sent::String(text) if text.parse::<DateTime<Utc>>().is_ok())
}

fn is_int(value: &Sent) -> bool {
    matches!(value, Sent::Number(number) if number.as_i64().is_some_and(|number| i32::try_from(number).is_ok()))
}

impl<'a> Given<'a> {
    fn is_null(self) -> bool {
        matches!(self, Self::Literal(Literal::Null) | Self::Sent(Sent::Null))
    }

    /// Returns the values of a list, or `None` for anything else.
    fn items(self) -> Option<Box<dyn Iterator<Item = (usize, Given<'a>)> + 'a>> {
        match self {
            Self::Literal(Literal::List(items)) => Some(Box::new(items.iter().map(Self::Literal).enumerate())),
            Self::Sent(Sent::List(items)) => Some(Box::new(items.iter().map(Self::Sent).enumerate())),
            _ => None,
        }
    }

    /// Returns the fields of an object, or `None` for anything else.
    fn fields(self) -> Option<Box<dyn Iterator<Item = (&'a Name, Given<'a>)> + 'a>> {
        match self {
            Self::Literal(Literal::Object(fields)) => {
                Some(Box::new(fields.iter().map(|(name, value)| (name, Self::Literal(value)))))
            }
            Self::Sent(Sent::Object(fields)) => {
                Some(Box::new(fields.iter().map(|(name, value)| (name, Self::Sent(value)))))
            }
            _ => None,
        }
    }

    fn has(self, field: &Name) -> bool {
        match self {
            Self::Literal(Literal::Object(fields)) => fields.contains_key(field),
            Self::Sent(Sent::Object(fields)) => fields.contains_key(field),
            _ => false,
        }
    }

    /// Returns the value; a list or an object is returned empty.
    fn leaf(self) -> Cow<'a, Sent> {
        match self {
            Self::Sent(value) => Cow::Borrowed(value),
            Self::Literal(Literal::List(_)) => Cow::Owned(Sent::List(Vec::new())),
            Self::Literal(Literal::Object(_)) => Cow::Owned(Sent::Object(Default::default())),
            Self::Literal(value) => Cow::Owned(value.clone().into_const().unwrap_or_default()),
        }
    }

    fn shown(self) -> String {
        match &*self.leaf() {
            Sent::String(text) => match text.char_indices().nth(SHOWN_CHARACTERS_MAX) {
                Some((end, _)) => format!("{:?} and so on", &text[..end]),
                None => format!("{text:?}"),
            },
            Sent::Enum(name) => name.chars().take(SHOWN_CHARACTERS_MAX).collect(),
            Sent::List(_) => "a list".to_owned(),
            Sent::Object(_) => "an object".to_owned(),
            value => value.to_string(),
        }
    }
}

impl Display for ValuePath<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(formatter)?;
        }
        match self.segment {
            Segment::Index(index) => write!(formatter, "[{index}]"),
            Segment::Name(name) if self.parent.is_some() => write!(formatter, ".{name}"),
            Segment::Name(name) => formatter.write_str(name),
        }
    }
}
