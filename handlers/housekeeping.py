"""Housekeeping: a schedule invokes it, and it does the work that requests left unfinished, from lists."""

from shared.web.schedule_function import ScheduleFunction

handler = ScheduleFunction()
