//! One GraphQL operation over any transport: parsed, checked against the limits, and authorized.

use std::sync::Arc;

use async_graphql::{
    Request, ServerError,
    parser::types::{DocumentOperations, ExecutableDocument, OperationDefinition, OperationType, SelectionSet},
};

use super::{
    errors::{count_error, request_error, set_code},
    query_limits,
    schema::scopes_of,
    selection::{self, FieldOrder, FreshnessUse},
    turn::Turn,
};
use crate::{
    access::{AuthError, ManagingTerms, Principal, Scope, Scopes},
    error_code::Code,
    memory_budget::Reservation,
};

/// A request whose query was parsed, keeps the limits, and determines the operation to execute.
pub(crate) struct Operation {
    pub(super) request: Request,
    pub(super) kind: OperationType,
    /// The scopes that its fields need; none if any scope will do.
    scopes: Scopes,
    /// The right to change what was counted, once it is known that the client has it.
    pub(super) managing: Option<ManagingTerms>,
    /// The order of the fields in its responses.
    pub(super) order: FieldOrder,
    /// How a subscription to a report shows its freshness; `None` for all other operations.
    pub(super) freshness_use: Option<FreshnessUse>,
    /// The memory reserved for the request, until nothing of the request is in use.
    pub(super) memory: Option<Arc<Reservation>>,
    /// The operation's permit to be executed, if it needs one.
    pub(super) turn: Option<Arc<Turn>>,
}

/// An operation that its client is allowed to execute.
pub(crate) struct AuthorizedOperation(Operation);

impl Operation {
    /// Parses the query and checks it against the limits. An error has its code, and is counted in the metrics.
    pub(crate) fn read(request: Request) -> Result<Self, ServerError> {
        Self::parse(request).map_err(count_error)
    }

    fn parse(mut request: Request) -> Result<Self, ServerError> {
        let too_much = |much: query_limits::QueryLimitExceeded| request_error(Code::ValidationFailed, much.to_string());
        query_limits::check_nesting(&request.query).map_err(too_much)?;
        let name = request.operation_name.take();
        let mut variables = std::mem::take(&mut request.variables);
        let document = request.parsed_query().map_err(|mut unreadable| {
            set_code(&mut unreadable, Code::ParseFailed);
            unreadable
        })?;
        query_limits::check_document(document).map_err(too_much)?;
        let operation = chosen(document, name.as_deref())?;
        selection::set_default_values(operation, &mut variables);
        let kind = operation.ty;
        let scopes = scopes_of(kind, &query_limits::root_fields(document, operation));
        let order = FieldOrder::of(document, operation, &variables);
        let freshness_use = match kind {
            OperationType::Subscription => FreshnessUse::of(document, operation, &variables),
            OperationType::Query | OperationType::Mutation => None,
        };
        if kind == OperationType::Subscription
            && let Some(selection) = selection::with_plain_root_field(document, operation, &variables)
                .map_err(|fields| request_error(Code::ValidationFailed, fields.to_string()))?
        {
            let mut document = document.clone();
            set_selection(&mut document, name.as_deref(), selection);
            request.set_parsed_query(document);
        }
        request.variables = variables;
        request.operation_name = name;
        Ok(Self { request, kind, scopes, managing: None, order, freshness_use, memory: None, turn: None })
    }

    /// Attaches `memory`, the reservation for the request, which is released when nothing of the request is in use.
    pub(crate) fn with_memory(self, memory: Reservation) -> Self {
        Self { memory: Some(Arc::new(memory)), ..self }
    }

    pub(crate) fn kind(&self) -> OperationType {
        self.kind
    }

    /// Authorizes the operation. It needs the scopes of all its fields, and any scope if it selects nothing but the schema
    /// itself, the program's version and the server's limits.
    ///
    /// Errs when `principal` lacks a scope.
    pub(crate) fn authorize(mut self, principal: &Principal) -> Result<AuthorizedOperation, AuthError> {
        if self.scopes.is_empty() {
            principal.require_any_scope()?;
        }
        if self.scopes.has(Scope::Reports) {
            principal.require_scope(Scope::Reports)?;
        }
        if self.scopes.has(Scope::Increments) {
            self.request = self.request.data(principal.recording()?);
        }
        if self.scopes.has(Scope::Manage) {
            self.managing = Some(principal.managing()?);
        }
        Ok(AuthorizedOperation(self))
    }
}

/// Returns the operation of this name, or the only operation when there is no name.
///
/// Errs when there is no such operation, or several without a name to choose by.
fn chosen<'a>(document: &'a ExecutableDocument, name: Option<&str>) -> Result<&'a OperationDefinition, ServerError> {
    let mut operations = document.operations.iter();
    let found = match name {
        Some(wanted) => operations.find(|(name, _)| name.is_some_and(|name| name == wanted)),
        None => match (operations.next(), operations.next()) {
            (Some(_), Some(_)) => {
                let message = "the query has several operations: operationName must name one of them";
                return Err(request_error(Code::ValidationFailed, message));
            }
            (only, _) => only,
        },
    };
    let missing = match name {
        Some(_) => "the query has no operation of the name in operationName",
        None => "the query has no operation",
    };
    found.map(|(_, operation)| &operation.node).ok_or_else(|| request_error(Code::ValidationFailed, missing))
}

fn set_selection(document: &mut ExecutableDocument, name: Option<&str>, selection: SelectionSet) {
    let operation = match (&mut document.operations, name) {
        (DocumentOperations::Single(operation), _) => Some(operation),
        (DocumentOperations::Multiple(operations), Some(name)) => operations.get_mut(name),
        (DocumentOperations::Multiple(operations), None) => operations.values_mut().next(),
    };
    if let Some(operation) = operation {
        operation.node.selection_set.node = selection;
    }
}

impl AuthorizedOperation {
    /// Attaches the permit to be executed, which the operation gives back while it waits.
    pub(crate) fn with_turn(self, turn: Arc<Turn>) -> Self {
        Self(Operation { turn: Some(turn), ..self.0 })
    }

    pub(crate) fn kind(&self) -> OperationType {
        self.0.kind
    }

    /// Returns the scopes that the operation needs.
    pub(crate) fn scopes(&self) -> Scopes {
        self.0.scopes
    }

    /// Returns the operation, for its execution.
    pub(super) fn into_inner(self) -> Operation {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(query: &str, name: Option<&str>) -> Result<OperationType, String> {
        let mut request = Request::new(query);
        request.operation_name = name.map(str::to_owned);
        Operation::read(request).map(|operation| operation.kind()).map_err(|failure| failure.message)
    }

    #[test]
    fn kind_is_that_of_the_operation_to_execute() {
        assert_eq!(kind("{ a }", None), Ok(OperationType::Query));
        assert_eq!(kind("mutation { a }", None), Ok(OperationType::Mutation));
        assert_eq!(kind("mutation M { a }", None), Ok(OperationType::Mutation), "the only operation needs no name");
        let both = "query Q { a } mutation M { a }";
        assert_eq!(kind(both, Some("M")), Ok(OperationType::Mutation));
        assert_eq!(kind(both, Some("Q")), Ok(OperationType::Query));
        for (query, name) in [(both, None), (both, Some("N")), ("{ a }", Some("Q")), ("mutation M { a }", Some("N"))] {
            assert!(kind(query, name).is_err(), "{query} {name:?}");
        }
    }
}
