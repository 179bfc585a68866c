"""FreeSWITCH: its events (esl) and its call detail records (json_cdr), and what the two have in common (values, fields, visits)."""
