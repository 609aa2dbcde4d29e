//! Idempotency keys: which requests of a transaction count. On a Citus cluster the coordinator claims a key and numbers the claim,
//! and then each node counts the parts of the request that it has not counted for that claim.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use entity::idempotency_key;
use sea_orm::{
    EntityTrait, QueryFilter, QuerySelect, QueryTrait,
    sea_query::{Expr, ExprTrait, SelectStatement},
};

use super::{Outcome, Statements};
use crate::increment::{IdempotencyKey, Request, Role};

/// Claims the keys of the requests, and of their parts, and decides which of them count. This comes before anything else is
/// written, since a request counts only if its key is new.
pub(super) async fn outcomes<S: Statements>(
    statements: &mut S,
    requests: &[&Request],
    now: DateTime<Utc>,
) -> Result<Vec<Outcome>, sqlx::Error> {
    let mut outcomes = vec![Outcome::Counted; requests.len()];
    for role in [Role::Whole, Role::Claim] {
        claim(statements, requests, role, now, &mut outcomes).await?;
    }
    claim_parts(statements, requests, &mut outcomes).await?;
    Ok(outcomes)
}

/// Claims the keys of the requests with this role, and sets their outcomes.
async fn claim<S: Statements>(
    statements: &mut S,
    requests: &[&Request],
    role: Role,
    now: DateTime<Utc>,
    outcomes: &mut [Outcome],
) -> Result<(), sqlx::Error> {
    let in_parts = role == Role::Claim;
    let keyed = || {
        let keyed = requests.iter().enumerate().filter(|(_, request)| request.role == role);
        keyed.filter_map(|(index, request)| Some((index, request.key.as_ref()?)))
    };
    // The first request of a key in this batch stands for it.
    let mut first = HashMap::new();
    for (index, (key, fingerprint)) in keyed() {
        first.entry(key.id()).or_insert((index, key, *fingerprint));
    }
    if first.is_empty() {
        return Ok(());
    }
    let mut keys: Vec<_> = first.values().map(|(_, key, fingerprint)| (*key, *fingerprint)).collect();
    keys.sort_unstable_by_key(|(key, _)| key.id());
    let claimed = statements.claim_keys(&keys, in_parts, now).await?;
    let claimed: HashSet<_> = claimed.iter().map(|(text, client)| (text.as_str(), client.as_str())).collect();
    // The numbers of new claims are read with the older ones.
    let stored = keys.iter().map(|(key, _)| key).filter(|key| in_parts || !claimed.contains(&key.id()));
    let ids: Vec<_> = stored.flat_map(|key| [key.id()].into_iter().chain(former_ids(key))).collect();
    let stored = if ids.is_empty() { Vec::new() } else { statements.claimed(&ids).await? };
    let stored: HashMap<_, _> = stored
        .iter()
        .map(|(text, client, fingerprint, claim)| ((text.as_str(), client.as_str()), (fingerprint.as_slice(), *claim)))
        .collect();
    for (index, (key, fingerprint)) in keyed() {
        let (first_index, first_key, first_fingerprint) = &first[&key.id()];
        let former = || {
            let mut former = former_ids(first_key).filter_map(|id| stored.get(&id));
            former.find(|(former, _)| former == first_fingerprint).copied()
        };
        let (counted, claim) = match stored.get(&key.id()) {
            Some((counted, claim)) => (*counted, *claim),
            None if claimed.contains(&key.id()) && index == *first_index => continue,
            None if claimed.contains(&key.id()) => (first_fingerprint.as_slice(), None),
            // The key existed at the claim and was pruned before it was read. A retry will find it new.
            None => former().ok_or(sqlx::Error::RowNotFound)?,
        };
        outcomes[index] = match (claim, in_parts) {
            _ if counted != fingerprint => Outcome::KeyReused,
            (Some(claim), true) => Outcome::Claimed(claim),
            (Some(_), false) => Outcome::CountedInParts,
            (None, _) => Outcome::Duplicate,
        };
    }
    Ok(())
}

/// Claims the parts among the requests. The first request of a part in this batch stands for it.
async fn claim_parts<S: Statements>(
    statements: &mut S,
    requests: &[&Request],
    outcomes: &mut [Outcome],
) -> Result<(), sqlx::Error> {
    let mut parts = Vec::new();
    for (index, request) in requests.iter().enumerate() {
        if let Role::Part(claim) = request.role {
            parts.push(((claim, request.first_page()), index));
        }
    }
    if parts.is_empty() {
        return Ok(());
    }
    parts.sort_unstable();
    let mut ids: Vec<_> = parts.iter().map(|(part, _)| *part).collect();
    ids.dedup();
    let new: HashSet<_> = statements.claim_parts(&ids).await?.into_iter().collect();
    let mut before = None;
    for ((claim, page), index) in parts {
        let is_first = before.replace((claim, page)) != Some((claim, page));
        if !is_first || !new.contains(&(claim, page.to_owned())) {
            outcomes[index] = Outcome::Duplicate;
        }
    }
    Ok(())
}

/// Returns the query of the stored keys whose ids (key, client) `ids` selects. `claim` is the number of the claim.
pub(super) fn select_claimed(ids: SelectStatement, claim: Expr) -> SelectStatement {
    let id = [idempotency_key::Column::Key, idempotency_key::Column::Client];
    let keys = idempotency_key::Entity::find().select_only().columns(id).column(idempotency_key::Column::Fingerprint);
    keys.expr(claim).filter(Expr::tuple(id.map(Expr::col)).in_subquery(ids)).into_query()
}

/// Returns the ids that a key may be stored with, from before its client had its present id.
fn former_ids(key: &IdempotencyKey) -> impl Iterator<Item = (&str, &str)> {
    key.client.former_ids().into_iter().map(|client| (key.text.as_str(), client))
}
