"""Housekeeping: a schedule calls it, and it does what requests left behind, from lists."""

from shared.web.schedule_function import ScheduleFunction

handler = ScheduleFunction()
