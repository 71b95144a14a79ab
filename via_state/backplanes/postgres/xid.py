"""The transaction that wrote a row last: what a sweep goes by."""

#: Its id in SQL. A bigint, because that has the index class that the sweep needs, which xid8 lacks.
XID = "pg_current_xact_id()::text::bigint"
