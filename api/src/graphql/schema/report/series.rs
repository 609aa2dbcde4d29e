//! Series, and the type `SeriesPoint`.

use std::borrow::Cow;

use async_graphql::{
    Context, ContextSelectionSet, Name, OutputType, Positioned, ScalarType, ServerResult, SimpleObject, Value,
    indexmap::IndexMap, parser::types::Field, registry::Registry,
};
use chrono::{DateTime, Utc};
use entity::Hour;
use reports::Bucket;

use super::super::scalars::{LocalDateTime, SafeInt};

/// One bucket of a series.
#[derive(Debug, SimpleObject)]
pub(crate) struct SeriesPoint {
    /// The first moment.
    start: DateTime<Utc>,
    /// The moment after the last one.
    end: DateTime<Utc>,
    /// What the calendar of the filter's zone calls `start`, to be shown as it is: no time zone has to be computed.
    local_start: LocalDateTime,
    /// The views counted in it.
    views: SafeInt,
    /// False when it ends later than `freshness.lookedAt`: more may be counted in it.
    complete: bool,
    /// False where the interval cuts it: a part of that day, week or month only. That may be the first point and the last.
    whole: bool,
}

/// The type `[SeriesPoint!]!`. Its points' fields are resolved at once: the library would make two futures for each of them.
#[derive(Debug)]
pub(crate) struct Series {
    points: Vec<SeriesPoint>,
    /// The response keys of the selected fields, and how each has its value of a point. `None` if there is another field.
    fields: Option<Vec<(Name, ValueOf)>>,
}

type ValueOf = fn(&SeriesPoint) -> Value;

impl SeriesPoint {
    pub(super) fn new(bucket: &Bucket, looked_at: Option<Hour>) -> Self {
        Self {
            start: bucket.start.start(),
            end: bucket.end.start(),
            local_start: LocalDateTime(bucket.local_start),
            views: SafeInt(bucket.views),
            complete: bucket.is_complete(looked_at),
            whole: bucket.whole,
        }
    }

    fn field(name: &str) -> Option<ValueOf> {
        Some(match name {
            "start" => |point| point.start.to_value(),
            "end" => |point| point.end.to_value(),
            "localStart" => |point| point.local_start.to_value(),
            "views" => |point| point.views.to_value(),
            "complete" => |point| Value::Boolean(point.complete),
            "whole" => |point| Value::Boolean(point.whole),
            "__typename" => |_| Value::String(<Self as OutputType>::type_name().into_owned()),
            _ => return None,
        })
    }
}

impl Series {
    /// Returns the series that the field in `context` selects from `buckets`.
    pub(super) fn new(context: &Context<'_>, buckets: &[Bucket], looked_at: Option<Hour>) -> Self {
        let series = context.field();
        let fields = series.selection_set().map(|field| {
            let key = Name::new(field.alias().unwrap_or_else(|| field.name()));
            Some((key, SeriesPoint::field(field.name())?))
        });
        Self {
            points: buckets.iter().map(|bucket| SeriesPoint::new(bucket, looked_at)).collect(),
            fields: fields.collect(),
        }
    }
}

impl OutputType for Series {
    fn type_name() -> Cow<'static, str> {
        Vec::<SeriesPoint>::type_name()
    }

    fn qualified_type_name() -> String {
        Vec::<SeriesPoint>::qualified_type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        Vec::<SeriesPoint>::create_type_info(registry)
    }

    async fn resolve(&self, context: &ContextSelectionSet<'_>, field: &Positioned<Field>) -> ServerResult<Value> {
        let Some(fields) = &self.fields else { return self.points.resolve(context, field).await };
        let object = |point| {
            let values = fields.iter().map(|(key, value_of)| (key.clone(), value_of(point)));
            Value::Object(values.collect::<IndexMap<_, _>>())
        };
        Ok(Value::List(self.points.iter().map(object).collect()))
    }
}
