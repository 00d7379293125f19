"""Search: what is asked (`found`), what answers (`provider`), how it is asked (`requester`).

The engines are behind one protocol: an index of one's own (`local`), search engines of the web
(`web`), recorded results (`recorded`), an index on another machine (`service`). The tools that a
model calls are in `saccade.tools.search`.
"""
