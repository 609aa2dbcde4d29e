//! Executes subscriptions to a report. An event whose pages have not changed since the last one is that event's text, with
//! the new freshness in it.

use std::{
    collections::HashMap,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use async_graphql::{Request, Response, Value, parser::types::OperationType};
use futures_util::{
    Stream, StreamExt,
    stream::{self, BoxStream},
};
use memchr::memmem;
use reports::{Dependence, ReportReader, ReportView, freshness::Freshness};
use tokio::sync::mpsc;

use super::{
    super::{
        errors::VersionChanged,
        event::ExecutionEvent,
        response_budget::{ResponseBudget, ResponseText},
        schema::{AnalyticsSchema, EventView, GivenViews, ViewCell},
        selection::{FieldOrder, FreshnessUse, ShownFreshness},
    },
    is_marked, whole_or_nothing,
};
use crate::metrics::LiveReportEvents;

/// The longest time for which a text of the freshness is used. It may say how old the report is.
const TEXT_AGE_MAX: Duration = Duration::from_millis(100);
/// The most texts of one freshness that are kept: as many as there are different selections of it.
const TEXTS_MAX: usize = 64;

/// What all subscriptions to reports share. Cheap to clone.
#[derive(Clone)]
pub(super) struct LiveReports {
    schema: AnalyticsSchema,
    reader: ReportReader,
    texts: Arc<Mutex<FreshnessTexts>>,
    events: LiveReportEvents,
}

/// The texts of one freshness, by the queries that select its fields.
#[derive(Default)]
struct FreshnessTexts {
    of: Freshness,
    made_at: Option<Instant>,
    by_query: HashMap<Arc<str>, Arc<str>>,
}

/// The events of a subscription.
struct Events {
    shared: LiveReports,
    views: BoxStream<'static, EventView>,
    /// Where the views go that an event is to be executed of.
    executed: mpsc::Sender<EventView>,
    responses: BoxStream<'static, Response>,
    freshness_use: FreshnessUse,
    order: FieldOrder,
    budget: ResponseBudget,
    last: Option<LastEvent>,
}

/// The last event of a subscription, if the next one may have the same text.
struct LastEvent {
    text: ResponseText,
    /// Where its freshness is in the text, if it shows that.
    freshness: Option<Range<usize>>,
    dependence: Dependence,
}

impl LiveReports {
    pub(super) fn new(schema: AnalyticsSchema, reader: ReportReader) -> Self {
        Self { schema, reader, texts: Arc::default(), events: LiveReportEvents::new() }
    }

    /// Returns the events of a subscription to a report. An event during which the report changes is left out, because the next
    /// one is on its way.
    pub(super) fn follow(
        &self,
        request: Request,
        freshness_use: FreshnessUse,
        order: FieldOrder,
        budget: ResponseBudget,
    ) -> impl Stream<Item = ExecutionEvent> + Send + use<> {
        let (executed, views) = mpsc::channel(1);
        let request = request.data(ViewCell::default()).data(budget.clone()).data(GivenViews::new(views));
        let (views, responses) = (self.reader.follow().boxed(), self.schema.execute_stream(request));
        let shared = self.clone();
        let events = Events { shared, views, executed, responses, freshness_use, order, budget, last: None };
        stream::unfold(events, async |mut events| Some((events.next().await?, events)))
    }

    /// Returns the text of the freshness of `view` as `shown` selects it, with its fields in `order`.
    async fn freshness(&self, shown: &ShownFreshness, order: &FieldOrder, view: &ReportView) -> Option<Arc<str>> {
        let of = view.freshness();
        if let Some(text) = self.texts().get(of, &shown.query) {
            return Some(text);
        }
        let request = Request::new(&*shown.query).data(ViewCell::of(view.clone()));
        let Value::Object(mut fields) = Box::pin(self.schema.execute(request)).await.data else { return None };
        let mut freshness = fields.swap_remove("freshness")?;
        order.below(&[&shown.report, &shown.freshness])?.apply(&mut freshness);
        let text: Arc<str> = serde_json::to_string(&freshness).ok()?.into();
        self.texts().insert(of, &shown.query, &text);
        Some(text)
    }

    fn texts(&self) -> MutexGuard<'_, FreshnessTexts> {
        self.texts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FreshnessTexts {
    fn get(&self, freshness: &Freshness, query: &str) -> Option<Arc<str>> {
        self.by_query.get(query).filter(|_| self.are_of(freshness)).cloned()
    }

    fn insert(&mut self, freshness: &Freshness, query: &Arc<str>, text: &Arc<str>) {
        if !self.are_of(freshness) || self.by_query.len() >= TEXTS_MAX {
            *self = Self { of: freshness.clone(), made_at: Some(Instant::now()), by_query: HashMap::new() };
        }
        self.by_query.insert(Arc::clone(query), Arc::clone(text));
    }

    fn are_of(&self, freshness: &Freshness) -> bool {
        self.made_at.is_some_and(|made_at| made_at.elapsed() <= TEXT_AGE_MAX) && self.of == *freshness
    }
}

impl Events {
    async fn next(&mut self) -> Option<ExecutionEvent> {
        loop {
            let view = tokio::select! {
                // Without a view, they only end, or say that the request is refused.
                response = self.responses.next() => return Some(self.event(response?, None)),
                view = self.views.next() => view?,
            };
            if let Some(event) = self.carry_over(&view).await {
                self.shared.events.carried.increment(1);
                return Some(event);
            }
            let read = view.as_ref().ok().cloned();
            // If nobody takes it any more, the responses end, or say why.
            drop(self.executed.send(view).await);
            let response = self.responses.next().await?;
            if is_marked::<VersionChanged>(&response) {
                // The next view is on its way.
                self.budget.reset();
                continue;
            }
            self.shared.events.executed.increment(1);
            return Some(self.event(response, read));
        }
    }

    /// Returns the last event with the freshness of `view`, if all else that it shows is the same there.
    async fn carry_over(&mut self, view: &EventView) -> Option<ExecutionEvent> {
        let (Ok(view), Some(last)) = (view, &mut self.last) else { return None };
        if !view.carry_over(&mut last.dependence).await {
            return None;
        }
        if let (FreshnessUse::Once(shown), Some(place)) = (&self.freshness_use, &mut last.freshness) {
            let freshness = self.shared.freshness(shown, &self.order, view).await?;
            let text = last.text.bytes();
            let text = [text.get(..place.start)?, freshness.as_bytes(), text.get(place.end..)?].concat();
            last.text = self.budget.text_of(text).ok()?;
            place.end = place.start + freshness.len();
        }
        Some(ExecutionEvent::Response { text: last.text.clone(), provenance: None })
    }

    /// Returns the event of a response that was read from `view`.
    fn event(&mut self, response: Response, view: Option<ReportView>) -> ExecutionEvent {
        let response = self.order.sorted(whole_or_nothing(response));
        let dependence = view.and_then(|view| view.dependence()).filter(|_| response.errors.is_empty());
        let freshness = match &self.freshness_use {
            FreshnessUse::Once(shown) => FreshnessField::of(shown, &response.data),
            FreshnessUse::Nowhere | FreshnessUse::Elsewhere => None,
        };
        let event = ExecutionEvent::of(Some(response), None, &self.budget, OperationType::Subscription);
        self.last = match (&event, dependence) {
            (ExecutionEvent::Response { text, .. }, Some(dependence)) => {
                let freshness = freshness.and_then(|field| field.place_in(text.bytes()));
                let has_place = self.freshness_use == FreshnessUse::Nowhere || freshness.is_some();
                has_place.then(|| LastEvent { text: text.clone(), freshness, dependence })
            }
            _ => None,
        };
        event
    }
}

/// The field of a report's freshness as JSON: its response key, a colon, and its value.
struct FreshnessField {
    text: String,
    value_at: usize,
}

impl FreshnessField {
    /// Returns the field as it is in the data of a response.
    fn of(shown: &ShownFreshness, data: &Value) -> Option<Self> {
        let Value::Object(data) = data else { return None };
        let Value::Object(report) = data.get(&shown.report)? else { return None };
        let value = report.get(&shown.freshness)?;
        let mut text = format!("\"{}\":", shown.freshness);
        let value_at = text.len();
        text.push_str(&serde_json::to_string(value).ok()?);
        Some(Self { text, value_at })
    }

    /// Returns where the value is in the text of the response. No string in it contains the field: its quotes are escaped there.
    fn place_in(&self, text: &[u8]) -> Option<Range<usize>> {
        let mut places = memmem::find_iter(text, self.text.as_bytes());
        let (first, more) = (places.next()?, places.next());
        more.is_none().then(|| first + self.value_at..first + self.text.len())
    }
}
