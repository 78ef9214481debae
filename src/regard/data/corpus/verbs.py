"""The verbs of the corpus, one table for each way a verb is completed.

A line is ``english[/past] | french | subjects | objects``. Capital letters are noun classes, lower-case words single
nouns. The English side may carry a particle ("look at"); a past of ``-`` says that the verb has no past here because
its past looks like its present ("read"). French ``se`` marks a reflexive verb, a preposition after the infinitive
what the complement takes ("parler de"). A star marks a state, whose past is the imparfait ("il aimait").
"""

# Nothing follows but adverbials.
INTRANSITIVE = """
sleep/slept | dormir | P A
work | travailler | P
sing/sang | chanter | P bird
dance | danser | P
run/ran | courir | P A
walk | marcher | P A
swim/swam | nager | P A
laugh | rire | P
smile | sourire | P
cry | pleurer | P
travel/travelled | voyager | P
arrive | arriver | P V
leave/left | partir | P V
return | revenir | P A
fall/fell | tomber | P A O
play | jouer | P A
jump | sauter | P A
shout | *hurler | P
breathe | respirer | P A
lie/lied | mentir | P
cough | tousser | P
tremble | trembler | P A
dream | rêver | P
snore | ronfler | P dog
hesitate | hésiter | P
succeed | réussir | P
fail | échouer | P
stay | rester | P A
win/won | gagner | P
cook | cuisiner | P
pray | prier | P
whisper | chuchoter | P
exaggerate | exagérer | P
disappear | disparaître | P A O V
burn | brûler | candle house tree
shine/shone | briller | star lamp
grow/grew | pousser | flower tree rose oak
"""

REFLEXIVE = """
rest | se reposer | P A
hurry | se dépêcher | P
wake up/woke | se réveiller | P A
get up/got | se lever | P
have fun/had | s'amuser | P
stroll | se promener | P
complain | se plaindre | P
stop/stopped | s'arrêter | P V
fall asleep/fell | s'endormir | P A
"""

# A direct object in French, which a clitic can stand for.
TRANSITIVE = """
see/saw | voir | P A | P A V N L O
look at | regarder | P A | P A O N
look for | chercher | P A | P A O C T solution
find/found | trouver | P A | O C A T solution
lose/lost | perdre | P | C key coin ticket umbrella bag map ball letter document
buy/bought | acheter | P | O C V F M D T house
sell/sold | vendre | P | O C V F M house farm
eat/ate | manger | P A | F M
drink/drank | boire | P A | D
read/- | lire | P | book letter newspaper magazine poem novel story article message report sentence text chapter
write/wrote | écrire | P | letter book poem novel story article message report sentence text chapter song
open | ouvrir | P | door window box bag letter bottle suitcase book cupboard umbrella
close | fermer | P | door window box bag bottle suitcase book cupboard umbrella
wash | laver | P | C plate glass cup fork spoon knife car window dog
clean | nettoyer | P | table chair lamp mirror kitchen bedroom house office car bus window
break/broke | casser | P | glass plate cup bottle lamp window chair mirror toy vase clock
repair | réparer | P | V clock computer radio door chair lamp machine toy shoe guitar ladder
carry | porter | P | bag box basket suitcase chair ladder table gift
wear/wore | porter | P | C
choose/chose | choisir | P | C O T F method project
take/took | prendre | P | train plane bus boat taxi bag umbrella key ticket book knife map coin
bring/brought | apporter | P | O F M D T
keep/kept | garder | P | C key letter book gift secret coin map
hide/hid | cacher | P A | key letter gift coin book box bottle bag
draw/drew | dessiner | P | P A N V L
paint | peindre | P | A N house door boat church window
photograph | photographier | P | P A N L
visit | visiter | P | L
know/knew* | connaître | P | P L secret song language rule story
meet/met | rencontrer | P A | P
help | aider | P X Y | P
invite | inviter | P | P
thank | remercier | P | P
follow | suivre | P A | P A
wait for | attendre | P | P train bus plane taxi boat
love* | adorer | P | P A O C F M D V N X Y T E L
like* | aimer | P | A C F M D N X Y T E L
hate* | détester | P | A C F M D X Y E
prefer/preferred* | préférer | P | A C F M D N X Y T
admire* | admirer | P | P N L Y
respect* | respecter | P | P Y rule decision opinion
want* | vouloir | P | O C F M D V
have/had* | avoir | P | O C V A house farm idea question problem secret project
own* | posséder | P | V house farm castle shop hotel horse piano restaurant
forget/forgot | oublier | P | C key umbrella bag ticket suitcase letter rule
use | utiliser | P | computer machine tool hammer ladder knife dictionary map method pencil bicycle
build/built | construire | P | house castle bridge school church tower hotel hospital boat factory stadium
destroy | détruire | P | bridge castle tower document machine house letter statue
prepare | préparer | P | cake pie pancake soup salad meat coffee tea E
taste | goûter | P A | F M D
cut/- | couper | P | apple pear cake pie carrot onion tomato bread cheese meat ham branch
throw/threw | jeter | P | ball stone
catch/caught | attraper | P A | ball mouse bird rabbit hen thief
push | pousser | P | door chair table car box bicycle
pull | tirer | P | door chair table box
touch | toucher | P A | O C A
feed/fed | nourrir | P | A baby
hear/heard | entendre | P A | P A V
listen to | écouter | P | P song story concert radio conversation music
call | appeler | P | P dog taxi
kiss | embrasser | P | mother father brother sister child grandmother grandfather baby
congratulate | féliciter | P | P
protect | protéger | P A | P A nature freedom
attack | attaquer | P wolf lion bear snake dog | P A castle village
hunt | chasser | P A | rabbit fox duck wolf bear
understand/understood | comprendre | P | P X K T
learn | apprendre | P | X language song poem rule
study/studied | étudier | P | X language document text map
teach/taught | enseigner | P | X
explain | expliquer | P | K X
describe | décrire | P | P A L N O
discover | découvrir | P | L N secret solution X K
finish | finir | P | exercise journey project book letter report novel chapter lesson cake
start | commencer | P | exercise journey project book letter report lesson game debate
translate | traduire | P | T
sign | signer | P | letter document report book
send/sent | envoyer | P | T gift box
receive | recevoir | P | T gift guest
borrow | emprunter | P | V book ladder tool hammer pencil umbrella map
steal/stole | voler | P | O V
drive/drove | conduire | P | car bus truck tractor taxi
cross | traverser | P A | street bridge river forest field city valley
climb | escalader | P | mountain hill rock tower
pick | cueillir | P | flower rose apple pear cherry strawberry
fill | remplir | P | glass cup bottle bag basket box
solve | résoudre | P | problem
correct | corriger | P | mistake exercise text sentence report
publish | publier | P | T
accept | accepter | P | gift idea decision project solution
examine | examiner | P | O T A
inspire | inspirer | P X Y N | P
fascinate | fasciner | X Y N K | P
surprise | surprendre | P K T | P
"""

# A thing and the person who gets it, with "to" and à.
DATIVE = """
give/gave | donner | P | O F T C
show | montrer | P | O T C A
lend/lent | prêter | P | V book tool hammer ladder pencil umbrella map C
offer/offered | offrir | P | O F T C
send/sent | envoyer | P | letter message gift report book box newspaper
bring/brought | apporter | P | O F T
sell/sold | vendre | P | O V F C
tell/told | raconter | P | story
"""

# A person, with à in French: the clitic is lui or leur.
INDIRECT = """
obey | obéir à | P dog
answer | répondre à | P
speak to/spoke | parler à | P
phone | téléphoner à | P
write to/wrote | écrire à | P
lie to/lied | mentir à | P
smile at | sourire à | P
resemble* | ressembler à | P
"""

# Another preposition, or à with a stressed pronoun.
OBLIQUE = """
think about/thought | penser à | P | P K X Y E
dream of | rêver de | P | P L K E
talk about | parler de | P | P X Y K T E
laugh at | rire de | P | P mistake idea story
count on | compter sur | P | P
play with | jouer avec | P A | ball doll toy child dog cat
depend on | dépendre de | P K | P decision opinion project
participate in | participer à | P | E project conversation
go to/went | aller à | P | L
come from/came | venir de | P | L
live in* | habiter dans | P | house castle village city tower hotel farm street valley forest
enter | entrer dans | P A | L
return to | revenir à | P A | L
"""

# "that" and a clause; used in the present, so that no sequence of tenses is at stake.
CLAUSAL = """
think/thought | penser | P
believe | croire | P
say/said | dire | P
hope | espérer | P
forget/forgot | oublier | P
explain | expliquer | P
notice | remarquer | P
announce | annoncer | P
repeat | répéter | P
claim | affirmer | P
dream | rêver | P
understand/understood | comprendre | P
"""

# An infinitive; English "to" except after the modals can and must.
CONTROL = """
can/could* | pouvoir | P A
must/-* | devoir | P A
want to* | vouloir | P A
hope to* | espérer | P
prefer to/preferred* | préférer | P
love to* | adorer | P
like to* | aimer | P
hate to* | détester | P
try to/tried | essayer de | P A
decide to | décider de | P
refuse to | refuser de | P A
forget to/forgot | oublier de | P
begin to/began | commencer à | P A
learn to | apprendre à | P
continue to | continuer à | P
promise to | promettre de | P
dare to | oser | P
"""

# What one can do slowly, carefully, patiently.
ACTIONS = """
work sing dance run walk swim travel play breathe cook cross open close wash clean repair carry draw paint
prepare read write eat drink examine translate correct study explain drive climb pick build push pull
teach describe look listen answer
"""
# What one can do well or badly.
SKILLS = "work sing dance run walk swim play cook breathe sleep"
