"""Search engines of the web, asked over HTTP: Serper, SerpApi, Brave, Tavily, SearXNG.

`base` sends one request and says what an answer means; `reading` reads results without trust;
`lens` is what searching by an image needs, and `pictures` fetches what results look like.
"""
