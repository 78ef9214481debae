"""Determiners, pronouns, prepositions, conjunctions, question words and adverbs of the corpus.

Persons are numbered 0 to 4: I, you, he or she, we, they; je, vous, il, nous, ils. "You" is always vous and one polite
person; "they" is ils; "it" as an object is le, for the sentence alone does not tell the gender.
"""

SUBJECT_PRONOUNS = (  # english, french, person, feminine, plural
    ("I", "je", 0, False, False),
    ("you", "vous", 1, False, False),
    ("he", "il", 2, False, False),
    ("she", "elle", 2, True, False),
    ("we", "nous", 3, False, True),
    ("they", "ils", 4, False, True),
)
OBJECT_PRONOUNS = (  # english, direct clitic, indirect clitic, stressed, person, feminine, plural
    ("me", "me", "me", "moi", 0, False, False),
    ("you", "vous", "vous", "vous", 1, False, False),
    ("him", "le", "lui", "lui", 2, False, False),
    ("her", "la", "lui", "elle", 2, True, False),
    ("us", "nous", "nous", "nous", 3, False, True),
    ("them", "les", "leur", "eux", 4, False, True),
)
IT = ("it", "le", "", "", 2, False, False)
REFLEXIVE_CLITICS = ("me", "vous", "se", "nous", "se")

POSSESSIVES = (  # english; masculine, feminine (before a consonant), plural
    ("my", "mon", "ma", "mes"),
    ("your", "votre", "votre", "vos"),
    ("his", "son", "sa", "ses"),
    ("her", "son", "sa", "ses"),
    ("our", "notre", "notre", "nos"),
    ("their", "leur", "leur", "leurs"),
)
NUMERALS = (
    ("two", "deux"),
    ("three", "trois"),
    ("four", "quatre"),
    ("five", "cinq"),
    ("six", "six"),
    ("seven", "sept"),
    ("eight", "huit"),
    ("nine", "neuf"),
    ("ten", "dix"),
    ("twelve", "douze"),
)
QUANTIFIERS = (("many", ("beaucoup", "de")), ("few", ("peu", "de")), ("several", ("plusieurs",)))
OTHER_DETERMINERS = (
    ("the", "le"),
    ("a", "un"),
    ("this", "ce"),
    ("some", "des"),
    ("any", "de"),
    ("every", "chaque"),
    ("another", "un autre"),
    ("all", "tous"),
)

# Prepositions: english, french.
PLACE_PREPOSITIONS = (
    ("near", ("près", "de")),
    ("behind", ("derrière",)),
    ("in front of", ("devant",)),
    ("next to", ("à", "côté", "de")),
    ("far from", ("loin", "de")),
)
OWN_PLACE = {"in": "dans", "on": "sur", "at": "à"}
MOTION_PREPOSITIONS = (("toward", ("vers",)), ("through", ("à", "travers")), ("around", ("autour", "de")))
COMPANY_PREPOSITIONS = (("with", ("avec",)), ("without", ("sans",)), ("for", ("pour",)))
EVENT_PREPOSITIONS = (("after", ("après",)), ("before", ("avant",)), ("during", ("pendant",)))
CAUSE_PREPOSITIONS = (("thanks to", ("grâce", "à")), ("despite", ("malgré",)), ("because of", ("à", "cause", "de")))
SURFACE_PREPOSITIONS = (("on", ("sur",)), ("under", ("sous",)))
BETWEEN = ("between", "entre")
OF = ("of", "de")
ABOUT = ("about", "sur")
SURFACES = ["table", "chair", "bed", "shelf", "armchair"]
CONTAINERS = ["box", "bag", "basket", "suitcase", "cupboard"]

# Adverbs: english, french.
FREQUENCY = (
    ("often", "souvent"),
    ("always", "toujours"),
    ("sometimes", "parfois"),
    ("rarely", "rarement"),
    ("also", "aussi"),
    ("probably", "probablement"),
    ("still", "encore"),  # of states, and in the present: the last one
)
NEGATABLE_FREQUENCY = 2  # "not often", "not always": the first ones
SHORT_MANNER = (("well", "bien"), ("badly", "mal"))
MANNER = (
    ("slowly", "lentement"),
    ("quickly", "rapidement"),
    ("quietly", "tranquillement"),
    ("carefully", "prudemment"),
    ("happily", "joyeusement"),
    ("silently", "silencieusement"),
    ("patiently", "patiemment"),
    ("gently", "doucement"),
    ("proudly", "fièrement"),
    ("easily", "facilement"),
    ("seriously", "sérieusement"),
)
PLACE_ADVERBS = (("here", "ici"), ("there", "là"), ("everywhere", "partout"), ("outside", "dehors"))
TIME_ADVERBS = {  # by tense
    "present": (("today", "aujourd'hui"), ("now", "maintenant")),
    "past": (("yesterday", "hier"), ("recently", "récemment"), ("today", "aujourd'hui")),
    "future": (("tomorrow", "demain"), ("soon", "bientôt"), ("today", "aujourd'hui")),
}
# An adverb of degree before an adjective with a noun, and the further ones before a predicate.
DEGREE = (("very", "très"), ("really", "vraiment"), ("extremely", "extrêmement"))
PREDICATE_DEGREE = (*DEGREE, ("too", "trop"), ("rather", "plutôt"), ("quite", "assez"))

# Predicates with avoir: "she is hungry", elle a faim.
AVOIR_PREDICATES = (
    ("hungry", "faim"),
    ("thirsty", "soif"),
    ("sleepy", "sommeil"),
    ("afraid", "peur"),
    ("right", "raison"),
    ("wrong", "tort"),
)
WEATHER_VERBS = (("rains", "rained", "rain", "pleuvoir"), ("snows", "snowed", "snow", "neiger"))
WEATHER_ADJECTIVES = (("cold", "froid"), ("hot", "chaud"))
CLOCK_ADJECTIVES = (("late", "tard"), ("early", "tôt"))

# Joining clauses: english, french, tenses allowed as (before, after).
_SAME = ("present present", "past past", "future future")
COORDINATORS = (
    ("and", ("et",), _SAME),
    ("but", ("mais",), (*_SAME, "past present", "present future", "past future")),
    ("so", ("donc",), _SAME),
    ("or", ("ou",), ("present present", "future future")),
)
SUBORDINATORS = (
    ("because", ("parce", "que"), ("present present", "present past", "past past", "future present")),
    ("since", ("puisque",), ("present present", "present past", "past past", "future present")),
    ("when", ("quand",), ("present present", "past past")),
    ("while", ("pendant", "que"), ("present present",)),
    ("whereas", ("alors", "que"), ("present present", "past past", "future future")),
    ("if", ("si",), ("present present", "future present")),
    ("even if", ("même", "si"), ("present present", "future present")),
    ("as soon as", ("dès", "que"), ("present present", "past past")),
)
QUESTION_ADVERBS = (("why", "pourquoi"), ("when", "quand"), ("where", "où"), ("how", "comment"))
QUESTION_PRONOUNS = (("who", "qui"), ("whom", "qui"), ("what", "que"), ("which", "quel"), ("how many", "combien de"))
RELATIVES = (("who", "qui"), ("that", "que"), ("whom", "que"), ("where", "où"))
NEGATIONS = (("not", "ne pas"), ("never", "ne jamais"), ("no longer", "ne plus"))
OTHER_WORDS = (
    ("there is", "il y a"),
    ("be", "être"),
    ("as", "aussi"),
    ("than", "que"),
    ("more", "plus"),
    ("do", ""),
    ("will", ""),
)
