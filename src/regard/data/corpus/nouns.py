"""The nouns of the corpus: one line an entry, ``english[/plural] french[/plural] gender [marks]``.

A star before a French word marks an aspirated h (or another word that does not elide): le héros, not l'héros.
The class letter says what a noun can do in a sentence (who reads, what is eaten, where one goes); verbs and
adjectives name the classes they go with. Marks: ``related`` is somebody's somebody (my aunt, Marie's doctor);
``about`` has a subject (an idea about music); a place names its own preposition; a time the phrases it makes (every
Monday, last week, in winter, on Monday).
"""

PERSONS = """
teacher professeur m related
student étudiant m related
doctor médecin m related
nurse infirmière f related
child/children enfant m related
man/men homme m
woman/women femme f
boy garçon m
girl fille f
friend ami m related
neighbour voisin m related
baker boulanger m
farmer fermier m
artist artiste m
singer chanteuse f
writer écrivain m
painter peintre m
engineer ingénieur m
lawyer avocate f related
judge juge m
soldier soldat m
king roi m
queen reine f
princess princesse f
baby bébé m
mother mère f related
father père m related
brother frère m related
sister sœur f related
uncle oncle m related
aunt tante f related
cousin cousine f related
grandmother grand-mère/grands-mères f related
grandfather grand-père/grands-pères m related
driver chauffeur m related
waiter serveur m
researcher chercheuse f
journalist journaliste f
actress actrice f
dancer danseuse f
musician musicien m
tourist touriste m
gardener jardinier m related
fisherman/fishermen pêcheur m
thief/thieves voleur m
hero/heroes *héros m
guest invité m related
customer cliente f related
captain capitaine m
pilot pilote m
librarian bibliothécaire f
poet poète m
"""

ANIMALS = """
cat chat m
dog chien m
horse cheval m
cow vache f
goat chèvre f
pig cochon m
rabbit lapin m
mouse/mice souris f
bird oiseau m
hen poule f
duck canard m
goose/geese oie f
wolf/wolves loup m
fox renard m
bear ours m
lion lion m
elephant éléphant m
monkey singe m
snake serpent m
turtle tortue f
bee abeille f
owl *hibou/hiboux m
hedgehog *hérisson m
donkey âne m
squirrel écureuil m
spider araignée f
"""

OBJECTS = """
table table f
chair chaise f
bed lit m
armchair fauteuil m
cupboard armoire f
shelf/shelves étagère f
lamp lampe f
clock horloge f
key clé f
knife/knives couteau m
fork fourchette f
spoon cuillère f
plate assiette f
glass verre m
cup tasse f
bottle bouteille f
box boîte f
bag sac m
basket panier m
umbrella parapluie m
mirror miroir m
hammer marteau m
ladder échelle f
computer ordinateur m
radio radio f
guitar guitare f
piano piano m
harp *harpe f
ball ballon m
doll poupée f
toy jouet m
gift cadeau m
coin pièce f
door porte f
window fenêtre f
pencil crayon m
candle bougie f
tool outil m
machine machine f
suitcase valise f
statue statue f
ticket billet m
map carte f
vase vase m
"""

TEXTS = """
book livre m
letter lettre f
newspaper journal m
magazine magazine m
poem poème m
novel roman m
story histoire f
article article m
message message m
report rapport m
sentence phrase f
document document m
text texte m
chapter chapitre m
song chanson f
dictionary dictionnaire m
"""

FOODS = """
apple pomme f
pear poire f
orange orange f
banana banane f
cherry cerise f
strawberry fraise f
tomato/tomatoes tomate f
carrot carotte f
onion oignon m
egg œuf m
cake gâteau m
pie tarte f
biscuit biscuit m
bean *haricot m
mushroom champignon m
peach pêche f
lemon citron m
pancake crêpe f
"""

DISHES = """
bread pain m
cheese fromage m
meat viande f
rice riz m
chocolate chocolat m
soup soupe f
butter beurre m
honey miel m
jam confiture f
ham jambon m
salad salade f
oil huile f
"""

DRINKS = """
water eau f
milk lait m
coffee café m
tea thé m
wine vin m
beer bière f
juice jus m
lemonade limonade f
"""

PLACES = """
house maison f in
garden jardin m in
kitchen cuisine f in
bedroom chambre f in
office bureau m in
school école f at
university université f at
library bibliothèque f at
museum musée m at
theatre théâtre m at
station gare f at
airport aéroport m at
hospital hôpital m at
church église f in
castle château m in
tower tour f in
bridge pont m on
street rue f in
park parc m in
forest forêt f in
field champ m in
beach plage f on
village village m in
city ville f in
island île f on
market marché m at
shop magasin m in
bakery boulangerie f at
restaurant restaurant m at
hotel hôtel m at
bank banque f at
factory usine f in
farm ferme f at
stadium stade m at
prison prison f in
valley vallée f in
"""

VEHICLES = """
car voiture f
bus bus m
train train m
plane avion m
boat bateau m
bicycle bicyclette f
truck camion m
taxi taxi m
tractor tracteur m
"""

CLOTHES = """
shirt chemise f
dress robe f
skirt jupe f
coat manteau m
hat chapeau m
shoe chaussure f
boot botte f
glove gant m
scarf/scarves écharpe f
belt ceinture f
jacket veste f
cap casquette f
suit costume m
"""

NATURE = """
tree arbre m
flower fleur f
river rivière f
lake lac m
star étoile f
mountain montagne f
hill colline f
stone pierre f
rose rose f
cloud nuage m
rock rocher m
path sentier m
branch branche f
oak chêne m
wave vague f
"""

FIELDS = """
music musique f
science science f
history histoire f
art art m
poetry poésie f
learning apprentissage m
research recherche f
translation traduction f
reading lecture f
writing écriture f
cooking cuisine f
philosophy philosophie f
literature littérature f
education éducation f
technology technologie f
sport sport m
photography photographie f
grammar grammaire f
medicine médecine f
architecture architecture f
chemistry chimie f
physics physique f
geography géographie f
teaching enseignement m
swimming natation f
logic logique f
"""

VALUES = """
friendship amitié f
freedom liberté f
justice justice f
peace paix f
silence silence m
beauty beauté f
truth vérité f
happiness bonheur m
sadness tristesse f
joy joie f
courage courage m
patience patience f
honesty honnêteté f
wisdom sagesse f
kindness gentillesse f
loyalty loyauté f
solitude solitude f
curiosity curiosité f
knowledge connaissance f
intelligence intelligence f
imagination imagination f
nature nature f
"""

IDEAS = """
idea idée f about
question question f about
problem problème m
project projet m
secret secret m
mistake erreur f
reason raison f
solution solution f
exercise exercice m
language langue f
adventure aventure f
opinion opinion f about
decision décision f
theory théorie f about
rule règle f
method méthode f
conversation conversation f about
"""

EVENTS = """
lesson leçon f
concert concert m
party fête f
journey voyage m
game jeu m
film film m
debate débat m
meeting réunion f
wedding mariage m
"""

TIMES = """
day jour m every
morning matin m every
evening soir m every
night nuit f every
week semaine f every last
month mois m every last
year année f every last
summer été m every last in
winter hiver m every last in
autumn automne m every last in
Monday lundi m every on
Tuesday mardi m every on
Wednesday mercredi m every on
Thursday jeudi m every on
Friday vendredi m every on
Saturday samedi m every on
Sunday dimanche m every on
"""

NAMES = """
Marie Marie f
Paul Paul m
Anne Anne f
Louis Louis m
Claire Claire f
Simon Simon m
Julie Julie f
Marc Marc m
Alice Alice f
Thomas Thomas m
Sophie Sophie f
Victor Victor m
Emma Emma f
Antoine Antoine m
"""

CITIES = """
Paris Paris m
London Londres m
Rome Rome m
Geneva Genève m
Brussels Bruxelles m
Lisbon Lisbonne m
Athens Athènes m
Lyon Lyon m
"""

# Class letter → table. Lower-case letters are classes that only special constructions ask for.
TABLES = {
    "P": PERSONS,
    "A": ANIMALS,
    "O": OBJECTS,
    "T": TEXTS,
    "F": FOODS,
    "M": DISHES,
    "D": DRINKS,
    "L": PLACES,
    "V": VEHICLES,
    "C": CLOTHES,
    "N": NATURE,
    "X": FIELDS,
    "Y": VALUES,
    "K": IDEAS,
    "E": EVENTS,
    "t": TIMES,
    "p": NAMES,
    "c": CITIES,
}

MASS = frozenset("MDXY")  # without plural, and without "a"
EDIBLE_MASS = frozenset("MD")  # "some bread", du pain
GENERIC_MASS = frozenset("XY")  # "music", la musique
